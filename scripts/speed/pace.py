"""A pace as ``piebench run --dry-run --pace`` reads it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from piebench_eval.runs.estimates.measured_pace import BENCH_SIZES

if TYPE_CHECKING:
    from scripts.speed.report import Options

_TELLING = (
    "num_layers",
    "num_single_layers",
    "num_attention_heads",
    "attention_head_dim",
    "joint_attention_dim",
    "dual_attention_layers",
    "block_out_channels",
    "layers_per_block",
    "transformer_layers_per_block",
    "cross_attention_dim",
)
"""Fields of a denoiser's configuration that its speed depends on."""


def published_model(options: "Options") -> str | None:
    """The model that a pace is of: the published one of the size, or ``--model``; None for tiny ones."""
    return options.model or {size: model for model, size in BENCH_SIZES.items()}.get(options.size)


def pace_entry(
    model: str,
    config: Mapping[str, Any],
    device: str,
    resolution: int,
    precision: str,
    seconds_per_evaluation: float,
    seconds_per_picture: float,
    note: str = "",
) -> dict[str, Any]:
    """The fields of ``piebench_eval.runs.estimates.measured_pace.MeasuredPace``.

    Args:
        model: hub id of the published model, or what ``--model`` named.
        config: of the denoiser.
        device: see ``timed_device``.
        resolution: side of the pictures in pixels.
        precision: of the denoiser.
        seconds_per_evaluation: of one row.
        seconds_per_picture: of what is not in the steps.
        note: what a reader must know.
    """
    telling = {name: config[name] for name in _TELLING if name in config}
    return {
        "device": device,
        "model": model,
        "denoiser": {name: list(own) if isinstance(own, tuple) else own for name, own in telling.items()},
        "precision": precision,
        "resolution": resolution,
        "seconds_per_evaluation": seconds_per_evaluation,
        "seconds_per_picture": seconds_per_picture,
        "note": note,
    }

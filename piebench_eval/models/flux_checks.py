"""Whether the configurations of a FLUX.1 model fit each other, and what the package computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.models.sd3_checks import latent_range_problems, shift_problems, sigma_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from piebench_eval.models.families import Family

_SCHEDULER = "scheduler/scheduler_config.json"


def flux_problems(configs: Mapping[str, Mapping[str, Any]], family: Family) -> Iterator[str]:
    """Everything for which a model cannot be called and sampled as FLUX.1 is.

    Args:
        configs: by part its configuration.
        family: the family.
    """
    transformer = configs["transformer"]
    channels = family.latent_channels * family.packing**2
    for field, wanted in (("in_channels", channels), ("out_channels", channels), ("patch_size", 1)):
        if (found := transformer.get(field) or wanted) != wanted:
            kind = "FLUX.1's tools for filling or control?" if field == "in_channels" else "another kind?"
            yield f"transformer/config.json says {field} {found}, not {wanted}: {kind}"
    for field, part, of_part in (
        ("pooled_projection_dim", "text_encoder", "hidden_size"),
        ("joint_attention_dim", "text_encoder_2", "d_model"),
    ):
        width = transformer.get(field)
        if width is not None and (found := configs[part].get(of_part, width)) != width:
            yield (
                f"transformer/config.json says {field} {width}, but {part}/config.json {of_part} {found}: "
                "they are not of one model"
            )
    yield from latent_range_problems(configs["vae"], family)
    yield from _of_scheduler(configs["scheduler"])


def _of_scheduler(scheduler: Mapping[str, Any]) -> Iterator[str]:
    """Sigmas that are not those of a shift, of its own or by the picture's size."""
    yield from sigma_problems(scheduler)
    if not scheduler.get("use_dynamic_shifting"):
        yield from shift_problems(scheduler, "it is 1.0 in FLUX.1-schnell")
        return
    if (kind := scheduler.get("time_shift_type", "exponential")) != "exponential":
        yield f"{_SCHEDULER} says time_shift_type {kind}, not exponential"
    fewest, most = scheduler.get("base_image_seq_len", 256), scheduler.get("max_image_seq_len", 4096)
    if most <= fewest:
        yield f"{_SCHEDULER} says max_image_seq_len {most}, which is not above base_image_seq_len {fewest}"

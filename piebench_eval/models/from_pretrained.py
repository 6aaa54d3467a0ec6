"""Load pretrained models without the libraries' warnings, and explain their errors."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import is_out_of_memory
from piebench_eval.models.hidden_progress_bars import hidden_progress_bars
from piebench_eval.warning_filters import ignored_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

_LONGEST_REASON = 600  # letters

_SMALLER = (
    " (--precision bf16); of transformers (Stable Diffusion 3, FLUX.1), --sequential-offload or "
    "--set weights=nf4 makes room"
)
"""What else makes a model to edit with smaller."""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide what diffusers and transformers log below an error, and PyTorch on torchao's data types."""
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def explained_loading(option: str, location: str, wanted: str) -> Iterator[None]:
    """Load a model quietly, and turn what its loader raises into a message for the user.

    The loaders' warnings (renamed attention layers, unused weights) are about things they put right.

    Args:
        option: the command-line option that names the model.
        location: its value.
        wanted: what the option takes.

    Raises:
        PiebenchError: the body could not load the model.
    """
    try:
        with quiet_libraries(), hidden_progress_bars(), ignored_warnings():
            yield
    except (
        EOFError,
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        NotImplementedError,
        SafetensorError,
        UnpicklingError,
    ) as error:
        raise PiebenchError(f"{option} {location}: {_explain(error, option, location, wanted)}") from error


def _explain(error: BaseException, option: str, location: str, wanted: str) -> str:
    """What a loader's error means, and what would help."""
    if is_out_of_memory(error):
        return (
            "does not fit into the GPU's memory; end what else uses it (nvidia-smi lists it), or use another "
            f"--device or cpu, fewer workers, or a half precision{_SMALLER if option == '--model' else ''}"
        )
    words = " ".join(str(error).split()) or type(error).__name__
    reason = shorten(words, _LONGEST_REASON, placeholder=" ...")
    # A part's name may follow the model's.
    is_here = any(Path(place).exists() for place in (location, location.rpartition(", ")[0]) if place)
    download = "" if is_here else ", and check the network connection if it is to be downloaded"
    return f"cannot be loaded ({reason}); give {wanted}{download}"


def load_complete(model_class: Any, location: str, device: torch.device, **options: Any) -> Any:
    """Load a diffusers or transformers model for inference, and refuse one whose file lacks a weight.

    The libraries fill missing weights with random numbers and go on.

    Raises:
        ValueError: a weight is missing or has another shape.
    """
    model, info = model_class.from_pretrained(location, output_loading_info=True, **options)
    lacking = sorted(str(key) for kind in ("missing_keys", "mismatched_keys") for key in info.get(kind, ()))
    if lacking:
        raise ValueError(f"its file has no fitting weights for {lacking[0]} and {len(lacking) - 1} others")
    return model.eval().requires_grad_(False).to(device)

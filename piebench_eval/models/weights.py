"""Which files weights are read from: one rule for the model and for the networks of the metrics.

A pickle file can run code when it is read. Whatever a user names, a directory, a file or a hub id, is
therefore read from safetensors alone, unless ``--allow-pickle`` says that its maker is trusted. What a
library itself names, torchvision's ImageNet weights and open_clip's tags, comes from that library's
publishers, and is read with ``weights_only=True``, which makes tensors and calls nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

IF_PICKLED = "(--allow-pickle if it has no safetensors)"
"""For messages about a hub id, of which only its loader learns what it has."""


def use_safetensors(allow_pickle: bool) -> bool | None:
    """What diffusers and transformers take under this name; None lets them fall back to pickle files."""
    return None if allow_pickle else True


def require_safetensors(option: str, name: str, place: Path, allow_pickle: bool, part: str = "") -> None:
    """Refuse a directory without safetensors, or a file of another kind; what is not there is the loader's.

    Args:
        option: the option that names the weights.
        name: its value.
        place: the directory or file.
        allow_pickle: refuse nothing.
        part: what to call the place in the message; the value says it if empty.

    Raises:
        PiebenchError: the weights are in pickle files, or there are none.
    """
    safe = any(place.glob(f"*{SUFFIX}")) if place.is_dir() else place.suffix == SUFFIX
    if place.exists() and not safe and not allow_pickle:
        if place.is_dir() and not any(file.suffix in _PICKLES for file in place.iterdir()):
            nothing = f"{part} holds no weights".strip()
            raise PiebenchError(f"{option} {name}: {nothing}; copy them from where the model comes from")
        what = f"{part} holds no safetensors weights" if place.is_dir() else "is no safetensors file"
        raise PiebenchError(
            f"{option} {name}: {what.strip()}; save them with safetensors, or pass --allow-pickle if you "
            "trust who made the file"
        )

"""Locate the small models that are shipped with the package."""

from pathlib import Path

from piebench_eval.errors import PiebenchError

DEMO = "demo"
"""Name of the embedded models for ``--model``, ``--dino``, ``--clip`` and ``--lpips-weights``."""

NOTICE = (
    "Demo model: a small network trained on drawn shapes. Its numbers show how the harness works and say "
    "nothing about Stable Diffusion."
)
"""Shown with every result of the embedded models."""

WEIGHTS = Path(__file__).parent / "weights"

_PARTS = {
    "model": "stable_diffusion",
    "dino": "vit",
    "clip": "clip",
    "lpips_weights": "squeezenet.safetensors",
}


def locate(role: str, name: str) -> str:
    """Path of the embedded model for the name ``demo``; any other name is returned unchanged.

    Args:
        role: ``model``, ``dino``, ``clip`` or ``lpips_weights``.
        name: directory, file, hub id or ``demo``.

    Raises:
        PiebenchError: ``demo`` for a model that is not embedded.
    """
    if name != DEMO:
        return name
    if role not in _PARTS:
        raise PiebenchError(f"--{role.replace('_', '-')} {name}: no such network is embedded")
    return str(WEIGHTS / _PARTS[role])

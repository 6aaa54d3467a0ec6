"""The models that ship with the package, all under one name."""

from pathlib import Path

from piebench_eval.errors import PiebenchError

DEMO = "demo"
"""What ``--model``, ``--dino``, ``--clip`` and ``--lpips-weights`` call the embedded models."""

NOTICE = (
    "Demo model: a small network trained on drawn shapes. Its numbers show how the harness works and say "
    "nothing about Stable Diffusion."
)
"""Stands beside everything that the embedded models have made."""

WEIGHTS = Path(__file__).parent / "weights"

_PARTS = {
    "model": "stable_diffusion",
    "dino": "vit",
    "clip": "clip",
    "lpips_weights": "squeezenet.safetensors",
}


def locate(role: str, name: str) -> str:
    """Where a model is: the embedded one for the name ``demo``, otherwise the name itself.

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

"""The models that ship with the package, all under one name."""

from pathlib import Path

from piebench_eval.recipes import recipe_file

DEMO = "demo"
"""What ``--model``, ``--dino``, ``--clip`` and ``--lpips-weights`` call the embedded models."""

WEIGHTS = Path(__file__).parent / "weights"

RECIPE = recipe_file("demo")
"""How the embedded world is edited unless something else is asked for."""

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
    """
    return str(WEIGHTS / _PARTS[role]) if name == DEMO else name

"""Locate the small models that are shipped with the package."""

from pathlib import Path

from piebench_eval.errors import PiebenchError

DEMO = "demo"
"""Name of the embedded models for ``--model``, ``--dino``, ``--clip`` and ``--lpips-weights``."""

DEMO_FLOW = "demo-flow"
"""Name of the embedded flow model for ``--model``; its edits are scored by the networks of ``demo``."""

DEMO_FLOW_T5_LENGTH = 1
"""How many zeros the embedded flow model was trained with in the place of T5's tokens."""

NOTICE = (
    "Demo model: a small network trained on drawn shapes. Its numbers show how the harness works and say "
    "nothing about Stable Diffusion."
)
"""Shown with every result of the embedded models."""

WEIGHTS = Path(__file__).parent / "weights"

_PARTS = {
    ("model", DEMO): "stable_diffusion",
    ("model", DEMO_FLOW): "stable_diffusion_3",
    ("dino", DEMO): "vit",
    ("clip", DEMO): "clip",
    ("lpips_weights", DEMO): "squeezenet.safetensors",
}


def is_embedded(name: object) -> bool:
    """Whether a name is that of an embedded model.

    >>> is_embedded("demo-flow"), is_embedded("CompVis/stable-diffusion-v1-4"), is_embedded(None)
    (True, False, False)
    """
    return name in (DEMO, DEMO_FLOW)


def locate(role: str, name: str) -> str:
    """Path of the embedded model for the names ``demo`` and ``demo-flow``; others are returned unchanged.

    Args:
        role: ``model``, ``dino``, ``clip`` or ``lpips_weights``.
        name: directory, file, hub id, ``demo`` or, of a ``model``, ``demo-flow``.

    Raises:
        PiebenchError: the name of an embedded model for a role that it does not have.
    """
    if not is_embedded(name):
        return name
    if (role, name) not in _PARTS:
        remedy = f"; use {DEMO}" if (role, DEMO) in _PARTS else ""
        raise PiebenchError(f"--{role.replace('_', '-')} {name}: no such network is embedded{remedy}")
    return str(WEIGHTS / _PARTS[role, name])

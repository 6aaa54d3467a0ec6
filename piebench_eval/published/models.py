"""The names that published rows give to models, and the models' hub ids."""

from __future__ import annotations

from pathlib import PurePosixPath

HUB_IDS = {
    "SD1.4": ("CompVis/stable-diffusion-v1-4",),
    "SD1.5": (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "runwayml/stable-diffusion-v1-5",
    ),
    "LCM Dreamshaper v7": ("SimianLuo/LCM_Dreamshaper_v7",),
    "LCM": ("SimianLuo/LCM_Dreamshaper_v7",),
    "SDXL": ("stabilityai/stable-diffusion-xl-base-1.0",),
    "SDXL-Turbo": ("stabilityai/sdxl-turbo",),
    "SD3": (
        "stabilityai/stable-diffusion-3-medium-diffusers",
        "stabilityai/stable-diffusion-3-medium",
    ),
    "SD3.5-medium": ("stabilityai/stable-diffusion-3.5-medium",),
    "SD3.5-large": ("stabilityai/stable-diffusion-3.5-large",),
    "FLUX.1-dev": ("black-forest-labs/FLUX.1-dev",),
    "FLUX.1-schnell": ("black-forest-labs/FLUX.1-schnell",),
    "FLUX.1-Kontext-dev": ("black-forest-labs/FLUX.1-Kontext-dev",),
    "Qwen-Image-Edit": ("Qwen/Qwen-Image-Edit",),
}
"""By the rows' names, the model's hub id and those of its copies. Names that tell no exact model are missing;
papers that say LCM mean LCM Dreamshaper v7."""


def model_name(model: str) -> str:
    """The name that published rows give to a model.

    Args:
        model: a hub id, or a folder that is called like it.

    Returns:
        The name; the end of ``model`` where no row has such a model.

    >>> [model_name(model) for model in ("black-forest-labs/FLUX.1-dev", "./stable-diffusion-v1-4", "x")]
    ['FLUX.1-dev', 'SD1.4', 'x']
    """
    end = PurePosixPath(model).name
    known = (name for name, ids in HUB_IDS.items() if end in (PurePosixPath(hub_id).name for hub_id in ids))
    return next(known, end)

"""Inpainting: what the benchmark's mask marks is painted anew, by Stable Diffusion or Stable Diffusion XL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.editors.pipelines.calling import mask_image, resolution_of_unet
from piebench_eval.editors.pipelines.editor import for_stable_diffusion, pipeline_editor
from piebench_eval.editors.strength import no_step, steps_of_strength
from piebench_eval.editors.texts import edit_text
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance


class InpaintingSettings(Settings):
    """Settings of inpainting."""

    strength: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the sampling steps that are taken, rounded down: 1 begins with noise alone",
    )


def arguments(
    settings: InpaintingSettings, common: Any, image: Image.Image, sample: Sample
) -> dict[str, Any]:
    """What the pipeline is called with, white where the mask marks the picture.

    A UNet of 4 channels sees the noisy latents alone, and what is around the mask is put back after each
    step; one of 9 channels, trained for it, sees mask and masked picture too.
    """
    return {
        "prompt": edit_text(sample, INPAINTING, common),
        "image": image,
        "mask_image": mask_image(sample, image, common),
        "height": image.height,
        "width": image.width,
        "strength": settings.strength,
        "guidance_scale": common.guidance,
    }


def settings_problem(settings: InpaintingSettings, common: Any) -> str | None:
    """Why no step would be taken."""
    if steps_of_strength(common.steps, settings.strength):
        return None
    return no_step(common.steps, settings.strength, "painted")


def evaluations(settings: InpaintingSettings, common: Any, guidance: Guidance | None) -> int:
    """One or two of every step taken, by the guidance.

    A model with the scheduler PNDM takes one step more, which is counted when it edits.
    """
    return (2 if common.guidance > 1 else 1) * steps_of_strength(common.steps, settings.strength)


INPAINTING = pipeline_editor(
    for_stable_diffusion("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline"),
    arguments,
    multiple=8,
    title="Stable Diffusion inpainting (blended latents)",
    paper="Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022; "
    "Avrahami et al., Blended Latent Diffusion, ACM Transactions on Graphics (SIGGRAPH) 2023",
    settings=InpaintingSettings,
    prompted_by="target prompt",
    masks="benchmark",
    native_resolution=resolution_of_unet,
    model="stable-diffusion-v1-5/stable-diffusion-inpainting",
    recipe="inpainting",
    evaluations=evaluations,
    settings_problem=settings_problem,
)

"""InstructPix2Pix: the picture and an instruction condition every step, each with a guidance of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.editors.pipelines.editor import pipeline_editor
from piebench_eval.editors.texts import edit_text
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance


class InstructPix2PixSettings(Settings):
    """Settings of InstructPix2Pix."""

    image_guidance: float = Field(
        default=1.5, ge=1, description="guidance scale of the picture; the recipe's guidance is the text's"
    )


def arguments(
    settings: InstructPix2PixSettings, common: Any, image: Image.Image, sample: Sample
) -> dict[str, Any]:
    """What the pipeline is called with."""
    return {
        "prompt": edit_text(sample, INSTRUCT_PIX2PIX, common),
        "image": image,
        "guidance_scale": common.guidance,
        "image_guidance_scale": settings.image_guidance,
    }


def evaluations(settings: InstructPix2PixSettings, common: Any, guidance: Guidance | None) -> int:
    """Three of every step: with picture and text, with the picture, with neither; one without guidance."""
    return (3 if common.guidance > 1 else 1) * int(common.steps)


INSTRUCT_PIX2PIX = pipeline_editor(
    "StableDiffusionInstructPix2PixPipeline",
    arguments,
    multiple=8,
    title="InstructPix2Pix",
    paper="Brooks et al., InstructPix2Pix: Learning to Follow Image Editing Instructions, CVPR 2023",
    equation="equation 3",
    settings=InstructPix2PixSettings,
    prompted_by="instruction",
    masks="none",
    model="timbrooks/instruct-pix2pix",
    recipe="instruct-pix2pix",
    evaluations=evaluations,
)

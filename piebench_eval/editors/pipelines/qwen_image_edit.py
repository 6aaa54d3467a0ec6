"""Qwen-Image-Edit: a language model reads picture and instruction, and a transformer makes the edit."""

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


class QwenImageEditSettings(Settings):
    """Settings of Qwen-Image-Edit."""

    negative_prompt: str = Field(
        default=" ", description="what guidance leads away from, where the recipe's guidance is above 1"
    )


def arguments(
    settings: QwenImageEditSettings, common: Any, image: Image.Image, sample: Sample
) -> dict[str, Any]:
    """What the pipeline is called with: the edit in the picture's size, though it looks at a megapixel."""
    return {
        "prompt": edit_text(sample, QWEN_IMAGE_EDIT, common),
        "image": image,
        "true_cfg_scale": common.guidance,
        "negative_prompt": settings.negative_prompt if common.guidance > 1 else None,
        "height": image.height,
        "width": image.width,
    }


def evaluations(settings: QwenImageEditSettings, common: Any, guidance: Guidance | None) -> int:
    """Two of every step, with the instruction and with the negative prompt; one without guidance."""
    return (2 if common.guidance > 1 else 1) * int(common.steps)


QWEN_IMAGE_EDIT = pipeline_editor(
    "QwenImageEditPipeline",
    arguments,
    multiple=16,
    title="Qwen-Image-Edit",
    paper="Wu et al., Qwen-Image Technical Report, arXiv 2508.02324",
    settings=QwenImageEditSettings,
    prompted_by="instruction",
    masks="none",
    native_resolution=lambda pipeline, common: 1024,
    model="Qwen/Qwen-Image-Edit",
    recipe="qwen-image-edit",
    evaluations=evaluations,
)

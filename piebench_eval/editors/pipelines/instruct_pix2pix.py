"""InstructPix2Pix: the picture and an instruction condition every step, each with a guidance of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.editors.texts import edit_text
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.editors.base import LoadOptions

_PIPELINE = "StableDiffusionInstructPix2PixPipeline"


class InstructPix2PixSettings(Settings):
    """Settings of InstructPix2Pix."""

    image_guidance: float = Field(
        default=1.5, ge=1, description="guidance scale of the picture; the recipe's guidance is the text's"
    )


def load(settings: InstructPix2PixSettings, common: Any, options: LoadOptions) -> Any:
    """Load the pipeline."""
    from piebench_eval.editors.pipelines.loading import load_pipeline

    return load_pipeline(_PIPELINE, common, options, [_PIPELINE])


def edit(
    pipeline: Any,
    pictures: Sequence[NDArray[np.uint8]],
    samples: Sequence[Sample],
    settings: InstructPix2PixSettings,
    common: Any,
) -> EditedPictures:
    """Edit by the instruction."""
    from piebench_eval.editors.pipelines.calling import call_for_each

    return call_for_each(pipeline, pictures, samples, common, partial(_arguments, settings, common))


def _arguments(
    settings: InstructPix2PixSettings, common: Any, image: Image.Image, sample: Sample
) -> dict[str, Any]:
    return {
        "prompt": edit_text(sample, INSTRUCT_PIX2PIX, common),
        "image": image,
        "guidance_scale": common.guidance,
        "image_guidance_scale": settings.image_guidance,
    }


def evaluations(settings: InstructPix2PixSettings, common: Any, guidance: Guidance | None) -> int:
    """Three of every step: with picture and text, with the picture, with neither; one without guidance."""
    return (3 if common.guidance > 1 else 1) * int(common.steps)


INSTRUCT_PIX2PIX = Editor(
    title="InstructPix2Pix",
    paper="Brooks et al., InstructPix2Pix: Learning to Follow Image Editing Instructions, CVPR 2023",
    equation="equation 3",
    settings=InstructPix2PixSettings,
    prompted_by="instruction",
    masks="none",
    pipelines=(_PIPELINE,),
    model="timbrooks/instruct-pix2pix",
    recipe="instruct-pix2pix",
    load=load,
    edit=edit,
    evaluations=evaluations,
)

"""FLUX.1 Kontext: the picture's tokens stand beside the noisy ones, and an instruction says what changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.editors.pipelines.editor import pipeline_editor
from piebench_eval.editors.texts import edit_text

if TYPE_CHECKING:
    from PIL import Image

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.settings import Settings


def arguments(settings: Settings, common: Any, image: Image.Image, sample: Sample) -> dict[str, Any]:
    """What the pipeline is called with: the picture in its own size."""
    return {
        "prompt": edit_text(sample, FLUX_KONTEXT, common),
        "image": image,
        "guidance_scale": common.guidance,
        "height": image.height,
        "width": image.width,
        # The pipeline would bring every picture to one of its sizes of a megapixel, without saying so in the
        # recipe; the recipe's resolution does.
        "max_area": image.height * image.width,
        "_auto_resize": False,
    }


def evaluations(settings: Settings, common: Any, guidance: Guidance | None) -> int:
    """One of every step: the guidance is an input of the model."""
    return int(common.steps)


FLUX_KONTEXT = pipeline_editor(
    "FluxKontextPipeline",
    arguments,
    multiple=16,
    title="FLUX.1 Kontext",
    paper="Black Forest Labs, FLUX.1 Kontext: Flow Matching for In-Context Image Generation and Editing in "
    "Latent Space, arXiv 2506.15742",
    prompted_by="instruction",
    masks="none",
    native_resolution=lambda pipeline, common: 1024,
    model="black-forest-labs/FLUX.1-Kontext-dev",
    recipe="flux-kontext",
    evaluations=evaluations,
)

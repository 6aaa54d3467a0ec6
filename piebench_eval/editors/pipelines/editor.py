"""An editor made of a pipeline of diffusers and the arguments of its call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from piebench_eval.editors.base import EditedPictures, Editor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from piebench_eval.data.sample import Sample
    from piebench_eval.editors.base import LoadOptions

    Arguments = Callable[[Any, Any, Image.Image, Sample], dict[str, Any]]


def pipeline_editor(
    pipeline: str | Mapping[str, str], arguments: Arguments, multiple: int, **declared: Any
) -> Editor:
    """An editor that loads a pipeline, and calls it for each sample.

    Args:
        pipeline: its class in diffusers; or by each class that the model's folder may be of, the class that
            loads it.
        arguments: ``(settings, common, image, sample)`` -> what it is called with, besides what
            ``call_for_each`` gives it.
        multiple: of which both sides of a picture have to be one.
        declared: the other fields of ``Editor``.
    """
    classes = (pipeline,) if isinstance(pipeline, str) else tuple(pipeline)

    def load(settings: Any, common: Any, options: LoadOptions) -> Any:
        from piebench_eval.editors.pipelines.loading import load_pipeline

        return load_pipeline(pipeline, common, options, classes)

    def edit(
        loaded: Any,
        pictures: Sequence[NDArray[np.uint8]],
        samples: Sequence[Sample],
        settings: Any,
        common: Any,
    ) -> EditedPictures:
        from piebench_eval.editors.pipelines.calling import call_for_each, require_sides

        require_sides(pictures, samples, multiple)
        return call_for_each(loaded, pictures, samples, common, partial(arguments, settings, common))

    return Editor(pipelines=classes, load=load, edit=edit, **declared)


def for_stable_diffusion(sd: str, sdxl: str) -> dict[str, str]:
    """What loads a folder of Stable Diffusion or Stable Diffusion XL, by the class that it names.

    >>> for_stable_diffusion("Ours", "OursXL")["StableDiffusionXLPipeline"]
    'OursXL'
    """
    return {sd: sd, "StableDiffusionPipeline": sd, sdxl: sdxl, "StableDiffusionXLPipeline": sdxl}

"""Any pipeline of diffusers that edits pictures, by the name of its class and the arguments of its call."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from functools import partial
from string import Formatter
from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.editors.pipelines.calling import call_for_each, call_parameters, mask_image
from piebench_eval.editors.texts import edit_text
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from piebench_eval.data.sample import Sample
    from piebench_eval.editors.base import LoadOptions, MasksUsed, PromptedBy

_TEXTS = ("source_prompt", "target_prompt", "instruction")
_IMAGES = ("image", "mask")
_NUMBERS = ("width", "height")
PLACEHOLDERS = (*_TEXTS, *_IMAGES, *_NUMBERS)
"""What stands between braces in an argument is filled in for each sample."""


_OF_RECIPE = {"num_inference_steps": "steps", "generator": "seed"}
"""Arguments that the recipe has under another name, which records and tables state."""


class AnyPipelineSettings(Settings):
    """Settings of a pipeline."""

    pipeline: str = Field(default="", description="class of diffusers, such as FluxKontextPipeline")
    arguments: dict[str, Any] = Field(
        default={},
        description="arguments of its call: {image} and {mask} are the pictures, {source_prompt}, "
        "{target_prompt} and {instruction} texts, also within a text, and {width} and {height} the picture's",
    )
    without: list[str] = Field(default=[], description="parts that are not loaded, such as safety_checker")


def load(settings: AnyPipelineSettings, common: Any, options: LoadOptions) -> Any:
    """Load the pipeline."""
    from piebench_eval.editors.pipelines.loading import load_pipeline

    return load_pipeline(settings.pipeline, common, options, components=dict.fromkeys(settings.without))


def edit(
    pipeline: Any,
    pictures: Sequence[NDArray[np.uint8]],
    samples: Sequence[Sample],
    settings: AnyPipelineSettings,
    common: Any,
) -> EditedPictures:
    """Call the pipeline with its arguments filled in."""
    known, arguments = call_parameters(type(pipeline)), partial(filled_arguments, settings, common)
    automatic = {"guidance_scale": common.guidance} if "guidance_scale" in known else {}
    return call_for_each(
        pipeline,
        pictures,
        samples,
        common,
        lambda image, sample: {**automatic, **arguments(image, sample)},
    )


def filled_arguments(
    settings: AnyPipelineSettings, common: Any, image: Image.Image, sample: Sample
) -> dict[str, Any]:
    """The arguments of a sample's call, without placeholders.

    Args:
        settings: the pipeline's.
        common: the recipe's settings that all share.
        image: the picture as it is loaded.
        sample: the sample.
    """
    values: dict[str, Any] = {
        "source_prompt": sample.source_prompt,
        "target_prompt": sample.target_prompt,
        "width": image.width,
        "height": image.height,
        "image": image,
    }
    used = set(_placeholders(settings.arguments))
    if "instruction" in used:
        values["instruction"] = edit_text(sample, DIFFUSERS.with_settings(settings), common)
    if "mask" in used:
        values["mask"] = mask_image(sample, image, common)
    return {name: _filled(value, values) for name, value in settings.arguments.items()}


def _filled(value: Any, values: dict[str, Any]) -> Any:
    """A value with its placeholders filled in; a placeholder alone becomes what it stands for."""
    if isinstance(value, str):
        alone = value[1:-1] if value.startswith("{") and value.endswith("}") else ""
        return values[alone] if alone in values else value.format_map(values)
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    if isinstance(value, dict):
        return {name: _filled(each, values) for name, each in value.items()}
    return value


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _placeholders(value: Any) -> Iterator[str]:
    """What stands between braces in a value, with Python's signs for formats if there are any.

    Raises:
        ValueError: braces do not match.
    """
    for text in _texts(value):
        for _, name, form, conversion in Formatter().parse(text):
            if name is not None:
                yield f"{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}"


def _picture_within_text(value: Any) -> str | None:
    """The first text in which a picture stands beside something else, where it can be none."""
    alone = [f"{{{name}}}" for name in _IMAGES]
    return next(
        (text for text in _texts(value) if {*_placeholders(text)} & {*_IMAGES} and text not in alone), None
    )


def looks_at(settings: AnyPipelineSettings) -> tuple[PromptedBy, MasksUsed]:
    """What prompts the pipeline and whether it looks at masks, by the placeholders of its arguments."""
    used = set(_placeholders(settings.arguments))
    masks: MasksUsed = "benchmark" if "mask" in used else "none"
    if "instruction" not in used:
        return "target prompt", masks
    return ("both" if "target_prompt" in used else "instruction"), masks


def settings_problem(settings: AnyPipelineSettings, common: Any) -> str | None:
    """What of the pipeline's name and arguments cannot be called."""
    if not settings.pipeline:
        return "editor.pipeline: is missing; give a class of diffusers, such as FluxKontextPipeline"
    try:
        used = set(_placeholders(settings.arguments))
    except ValueError as error:
        return f"editor.arguments: {error}; write {{{{ and }}}} for braces that are no placeholder's"
    if unknown := sorted(used - set(PLACEHOLDERS)):
        return (
            f"editor.arguments: {{{unknown[0]}}} is no placeholder; there are: "
            f"{', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}"
        )
    if named := sorted(set(settings.arguments) & set(_OF_RECIPE)):
        return (
            f"editor.arguments.{named[0]}: is the recipe's {_OF_RECIPE[named[0]]}; set that, and leave it out"
        )
    if "image" not in used:
        return "editor.arguments: nothing is the picture; give the argument that is, such as image: '{image}'"
    if (text := _picture_within_text(settings.arguments)) is not None:
        return f"editor.arguments: {text!r} has a picture within a text; {{image}} and {{mask}} stand alone"
    return _problem_of_class(settings)


def _problem_of_class(settings: AnyPipelineSettings) -> str | None:
    """Why diffusers has no such pipeline, or why it does not take the arguments, or has none of the parts."""
    import diffusers

    from piebench_eval.models.from_pretrained import quiet_libraries

    with quiet_libraries():
        found = getattr(diffusers, settings.pipeline, None)
        pipeline_class = diffusers.DiffusionPipeline
    if isinstance(found, type) and (not issubclass(found, pipeline_class) or found is pipeline_class):
        return (
            f"editor.pipeline: {settings.pipeline} is no pipeline that can be called; give the class of one, "
            "such as FluxKontextPipeline"
        )
    if not isinstance(found, type):
        near = get_close_matches(settings.pipeline, dir(diffusers), n=3)
        meant = f"; is {' or '.join(near)} meant?" if near else ""
        return f"editor.pipeline: diffusers {diffusers.__version__} has no {settings.pipeline}{meant}"
    known = call_parameters(found)
    if unknown := sorted(set(settings.arguments) - set(known)):
        near = [name for name in known if unknown[0] in name] or get_close_matches(unknown[0], known, n=3)
        hint = f"is {' or '.join(near)} meant?" if near else f"it takes {', '.join(known)}"
        return f"editor.arguments.{unknown[0]}: {settings.pipeline} is not called with it; {hint}"
    parts = list(inspect.signature(found).parameters)
    if unknown := sorted(set(settings.without) - set(parts)):
        return f"editor.without: {settings.pipeline} has no part {unknown[0]}; it has {', '.join(parts)}"
    return None


DIFFUSERS = Editor(
    title="A pipeline of diffusers",
    paper="that of the pipeline",
    settings=AnyPipelineSettings,
    prompted_by="not declared",
    masks="not declared",
    pipelines=(),
    load=load,
    edit=edit,
    keeps_size=False,
    leaves_out=lambda settings: settings.without,
    settings_problem=settings_problem,
    under=looks_at,
)

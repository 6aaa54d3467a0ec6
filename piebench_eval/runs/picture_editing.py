"""Editing one batch by an editor of pictures, and checking what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.images import image_size, load_image, loaded_size, size_text
from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import EditedPictures
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.plugins import plugin_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.data.images import Size
    from piebench_eval.data.sample import Sample
    from piebench_eval.editors.base import LoadedEditor
    from piebench_eval.recipes.combination import Combination


def edit_pictures(
    loaded: LoadedEditor,
    samples: Sequence[Sample],
    combination: Combination,
    read: Callable[[Path], NDArray[np.uint8]],
) -> tuple[list[NDArray[np.uint8]], list[list[str]]]:
    """Load pictures by the recipe's rule, have them edited, and check what comes back.

    They are brought to the recipe's ``resolution``; if that is empty, to the editor's own, if it has one.

    Args:
        loaded: what the editor has loaded.
        samples: the batch.
        combination: the editor and its settings.
        read: reads an image file.

    Returns:
        For each sample, the edit ``[height, width, 3]`` in the size in which its picture would be scored, and
        notes. ``loaded.evaluations`` has counted the model evaluations.

    Raises:
        PiebenchError: something else than a picture for each sample, see ``_checked``; or a plugin failed.
    """
    common, settings = combination.common, combination.editor_settings
    editor = EDITORS.get(combination.method)
    assert editor.edit is not None, "editors of latents have no pictures"
    with plugin_errors("", combination.method):
        resolution = common.resolution or editor.native_resolution(loaded.content, common)
    pictures = [load_image(sample.file, resolution, common.image_loader, read) for sample in samples]
    with plugin_errors("", combination.method):
        edited = editor.edit(loaded.content, pictures, samples, settings, common)
        evaluations = getattr(edited, "evaluations", None)
        if evaluations is None and editor.evaluations is not None:
            evaluations = editor.evaluations(settings, common, None)
    _require_one_for_each(edited, combination, len(samples))
    for place in range(len(samples)):
        loaded.evaluations.forward[place] += evaluations or 0
    flags = [False] * len(samples) if edited.flagged is None else edited.flagged
    checked = [
        _checked(picture, flagged, sample, combination, resolution)
        for picture, flagged, sample in zip(edited.pictures, flags, samples, strict=True)
    ]
    return checked, [list(of_sample) for of_sample in edited.notes or [[]] * len(samples)]


def _require_one_for_each(edited: Any, combination: Combination, count: int) -> None:
    """Check that an editor returned a picture for each sample, and what else it returned likewise.

    Raises:
        PiebenchError: it did not.
    """
    if not isinstance(edited, EditedPictures):
        raise PiebenchError(
            f"{combination.name}: returned {type(edited).__name__}; an editor returns EditedPictures of "
            "piebench_eval.editors.base"
        )
    returned = {"pictures": edited.pictures, "flags": edited.flagged, "lists of notes": edited.notes}
    for what, values in returned.items():
        if values is not None and len(values) != count:
            raise PiebenchError(
                f"{combination.name}: returned {len(values)} {what} for {count} samples; an editor returns "
                "one for each"
            )


def _checked(
    picture: Any, flagged: bool, sample: Sample, combination: Combination, resolution: int | None
) -> NDArray[np.uint8]:
    """A picture as whole grey levels, in the size that its source has under the recipe's loader.

    Args:
        picture: what the editor returned.
        flagged: whether a safety checker held it back.
        sample: the sample.
        combination: the editor and its settings.
        resolution: what its picture was brought to; None if it was given as it is.

    Raises:
        PiebenchError: it is no picture, is of another size, holds a number that is not finite, or was held
            back by a safety checker.
    """
    name = f"{combination.name}: the picture of {sample.id}"
    found = np.asarray(picture)
    if found.ndim != 3 or found.shape[2] != 3 or 0 in found.shape:
        raise PiebenchError(f"{name} has shape {found.shape}; an editor returns [height, width, 3]")
    if found.dtype != np.uint8:
        found = _grey_levels(found, name)
    if flagged:
        black = ", which made it black" if not found.any() else ""
        raise PiebenchError(
            f"{name} was held back by the safety checker (nsfw_content_detected){black}; load the pipeline "
            "without one, or leave the sample out"
        )
    wanted = loaded_size(image_size(sample.file), combination.common.image_loader, resolution)
    if (size := (found.shape[1], found.shape[0])) == wanted:
        return np.ascontiguousarray(found)
    if EDITORS.get(combination.method).keeps_size or not _same_aspect(size, wanted):
        raise PiebenchError(
            f"{name} is {size_text(size)}, and the picture that was given {size_text(wanted)}; an editor "
            "returns it in the same size"
        )
    return np.ascontiguousarray(found)


def _grey_levels(found: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Floats from 0 to 1 as whole grey levels, rounded as diffusers rounds them.

    Raises:
        PiebenchError: a number that is not finite, or of another kind or range.
    """
    if not np.issubdtype(found.dtype, np.floating):
        raise PiebenchError(
            f"{name} is of type {found.dtype}; an editor returns uint8, or floats from 0 to 1"
        )
    if not np.isfinite(found).all():
        raise PiebenchError(f"{name} holds numbers that are not finite; use --precision fp32 or bf16")
    if found.min() < 0 or found.max() > 1:
        raise PiebenchError(
            f"{name} has numbers from {found.min():g} to {found.max():g}; an editor returns uint8, or floats "
            "from 0 to 1"
        )
    levels: NDArray[np.uint8] = (found * 255).round().astype(np.uint8)
    return levels


def _same_aspect(size: Size, wanted: Size) -> bool:
    """Whether two sizes differ by a scale alone, up to a pixel."""
    scale = size[0] / wanted[0]
    return abs(size[1] - wanted[1] * scale) <= max(1.0, scale)

"""The resolutions that a run's edits were made, saved and scored at, as part of what a score rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import combination_name
from piebench_eval.data.images import KEEPS_SIZE, image_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from piebench_eval.scoring.edited_images import EditedImage

WORKING, SAVED, SOURCES = "working_resolution", "saved_resolution", "source_resolution"
"""What is added to each combination's settings, as shorter sides in pixels.

Of the edits as they were made, as they were saved (and are scored), and of the benchmark's pictures. The
first is None if it is unknown, the last if the pictures differ; all are where edits in their sources' sizes
differ.
"""


def with_resolutions(
    combinations: Mapping[str, dict[str, Any]], edited_images: Iterable[EditedImage]
) -> dict[str, dict[str, Any]]:
    """Add the resolutions of each combination to its settings.

    A loader brings all pictures to one shorter side, so the first edit of a combination stands for all; under
    the one that keeps their sizes, all of them are looked at.
    Settings of recipes from before there was an output resolution, and of combinations without an edit, are
    left as they are.

    Args:
        combinations: the settings of a run's combinations, by name.
        edited_images: the edits of the run; reference images among them are passed over.

    Raises:
        PiebenchError: an image is missing or damaged.
    """
    of_names: dict[str, list[EditedImage]] = {}
    sources: set[Path] = set()
    for edited_image in edited_images:
        name = combination_name(edited_image.labels["inversion"], edited_image.labels["method"])
        if "output_resolution" in combinations.get(name, {}):
            of_names.setdefault(name, []).append(edited_image)
            sources.add(edited_image.sample.file)
    of_sources = _shorter_side(sources)
    found = dict(combinations)
    for name, edits in of_names.items():
        settings = combinations[name]
        of_all = settings.get("image_loader") == KEEPS_SIZE
        saved = _shorter_side(edit.file for edit in (edits if of_all else edits[:1]))
        made = saved
        if settings["output_resolution"] is not None:
            # An editor may return pictures of another size than the recipe says, as is recorded.
            made = edits[0].resolution or settings["resolution"]
        found[name] = {**settings, WORKING: made, SAVED: saved, SOURCES: of_sources}
    return found


def _shorter_side(files: Iterable[Path]) -> int | None:
    """The shorter side in pixels of all these images; None if they differ."""
    sides = {min(image_size(file)) for file in files}
    return sides.pop() if len(sides) == 1 else None

"""Facts behind the edits of a table's row, without which it cannot be compared with another."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import combination_name
from piebench_eval.data.images import image_size
from piebench_eval.editors.base import NO_MODEL
from piebench_eval.editors.described import MASKS, PROMPTED_BY
from piebench_eval.errors import PiebenchError
from piebench_eval.scoring.edit_layout import edit_layout
from piebench_eval.scoring.resolutions import SAVED, WORKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from piebench_eval.scoring.edit_layout import EditLayout
    from piebench_eval.scoring.edited_images import EditedImage

BASE_MODEL, STEPS, EVALUATIONS = "base_model", "steps", "evaluations"
EDITED_AT, SCORED_AT = "edited_at", "scored_at"
"""Facts besides what prompted the edits and which masks were used; sizes are shorter sides in pixels."""

OF_PAIRS = {PROMPTED_BY: "target prompt", MASKS: "none"}
"""What holds for every inversion with a method."""

NOT_DECLARED = "not declared"
DECLARABLE = {
    PROMPTED_BY: ("target prompt", "instruction", "both"),
    MASKS: ("none", "predicted", "benchmark"),
}
"""What can be said of pictures that no run of ours made."""


def facts_of_run(
    combinations: Mapping[str, Mapping[str, Any]], edited_images: Iterable[EditedImage]
) -> dict[str, dict[str, Any]]:
    """The facts of each combination of a run.

    Args:
        combinations: their settings by name, with what editors declare, and with the resolutions.
        edited_images: the edits of the run; reference images among them are passed over.
    """
    edits: dict[str, list[EditedImage]] = defaultdict(list)
    for edited_image in edited_images:
        name = combination_name(edited_image.labels["inversion"], edited_image.labels["method"])
        edits[name].append(edited_image)
    return {
        name: {
            **{field: settings.get(field, of_pairs) for field, of_pairs in OF_PAIRS.items()},
            BASE_MODEL: settings.get("model"),
            STEPS: None if settings.get("model") == NO_MODEL else settings.get("steps"),
            EVALUATIONS: _mean([each.evaluations for each in edits[name] if each.evaluations is not None]),
            **_sizes(settings, edits[name]),
        }
        for name, settings in combinations.items()
    }


def _sizes(settings: Mapping[str, Any], edits: Sequence[EditedImage]) -> dict[str, Any]:
    """The sizes of a combination's edits; without an output resolution, they were saved as they were made."""
    if SAVED in settings:
        return {EDITED_AT: settings.get(WORKING), SCORED_AT: settings[SAVED]}
    saved = min(image_size(edits[0].file)) if edits else None
    return {EDITED_AT: settings.get("resolution") or saved, SCORED_AT: saved}


def facts_of_images(
    edited_images: Sequence[EditedImage], prompted_by: str | None, masks_used: str | None
) -> dict[str, Any]:
    """The facts of pictures that no run made, as far as they are known.

    Args:
        edited_images: the pictures.
        prompted_by: what prompted the editor; None if that was not said.
        masks_used: which masks the editor looked at; likewise.
    """
    layouts = _layouts(edited_images)
    saved = {min(layout.file_size) for layout in layouts if layout.is_resized and not layout.is_strip}
    return {
        PROMPTED_BY: prompted_by or NOT_DECLARED,
        MASKS: masks_used or NOT_DECLARED,
        EDITED_AT: saved.pop() if len(saved) == 1 and all(layout.is_resized for layout in layouts) else None,
        SCORED_AT: _one(min(layout.panel) for layout in layouts),
    }


def _layouts(edited_images: Sequence[EditedImage]) -> list[EditLayout]:
    """Where the edits lie in their files; none if a size is wrong, which scoring says of all that are."""
    try:
        return [
            edit_layout(each, image_size(each.file), image_size(each.sample.file), resize=True)
            for each in edited_images
        ]
    except PiebenchError:
        return []


def require_declarable(field: str, option: str, value: str | None) -> None:
    """Check what is said of other people's pictures.

    Raises:
        PiebenchError: it is none of the words that a table knows.
    """
    if value is not None and value not in DECLARABLE[field]:
        raise PiebenchError(f"{option} {value}: use {', '.join(DECLARABLE[field])}")


def _mean(counts: Sequence[int]) -> int | float | None:
    """The mean, whole where it is; None without any."""
    if not counts:
        return None
    mean = sum(counts) / len(counts)
    return int(mean) if mean.is_integer() else mean


def _one(sides: Iterable[int]) -> int | None:
    """The value that all have; None if they differ."""
    found = set(sides)
    return found.pop() if len(found) == 1 else None

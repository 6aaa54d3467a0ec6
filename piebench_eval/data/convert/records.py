"""Annotations in JSON with some of the official fields: TI2I's list, and masks as COCO writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.data.annotations import text_problem
from piebench_eval.data.convert.draft import Draft, Drafts, Row, objects
from piebench_eval.data.mapping_file import JsonObject, first_no_number, read_json
from piebench_eval.data.names import id_problem, kind_of, shown
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WHAT = "annotations by id, or a list of annotations"
_OPTIONAL = ("editing_instruction", "editing_type_id", "blended_word")


def read_ti2i(file: Path) -> Drafts:
    """Read annotations of which image_path, original_prompt and editing_prompt are needed.

    They stand in an object by their ids, or in a list; ``editing_prompt`` may be a list of several targets.

    Raises:
        PiebenchError: the file cannot be read, or holds something else.
    """
    return _read(file, coco=False)


def read_coco_mask(file: Path) -> Drafts:
    """Read annotations as ``read_ti2i`` does, whose masks are objects with COCO's ``size`` and ``counts``.

    Raises:
        PiebenchError: the file cannot be read, or holds something else.
    """
    return _read(file, coco=True)


def _read(file: Path, coco: bool) -> Drafts:
    try:
        content = read_json(file)
    except FileNotFoundError:
        raise PiebenchError(f"--in {file}: there is no such file") from None
    drafts = Drafts(file)
    ids: set[str] = set()
    for place, wanted, entry in _entries(drafts, content):
        if problem := id_problem(wanted):
            drafts.problem(place, f"the id {problem}")
        elif wanted in ids:
            drafts.problem(place, f"id {shown(wanted)} occurs twice; give each annotation its own id")
        ids.add(wanted)
        if number := first_no_number(entry):
            drafts.problem(place, f"holds {number}, which is no number; write what is meant")
        else:
            _add(drafts, place, wanted, entry, coco)
    return drafts


def _entries(drafts: Drafts, content: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Annotations with their places and ids."""
    if isinstance(content, JsonObject):
        for twice in content.duplicates:
            drafts.problem(f"id {shown(twice)}", "occurs twice; give each annotation its own id")
        for sample_id, entry in content.items():
            if not isinstance(entry, JsonObject):
                drafts.problem(f"id {shown(sample_id)}", f"must have fields, but is {kind_of(entry)}")
        return [
            (f"id {shown(sample_id)}", sample_id, entry)
            for sample_id, entry in content.items()
            if isinstance(entry, JsonObject)
        ]
    listed = objects(drafts, content, _WHAT)
    return [(place, str(entry.get("id", place.removeprefix("entry "))), entry) for place, entry in listed]


def _add(drafts: Drafts, place: str, wanted: str, entry: Mapping[str, Any], coco: bool) -> None:
    for twice in entry.duplicates if isinstance(entry, JsonObject) else ():
        drafts.problem(place, f'field "{shown(twice)}" occurs twice; keep one')
    row = Row(drafts, place, entry)
    picture, source, targets = (
        row.text("image_path"),
        row.text("original_prompt"),
        row.texts("editing_prompt"),
    )
    fields = {name: entry[name] for name in _OPTIONAL if entry.get(name) is not None}
    for name, value in fields.items():
        if problem := text_problem(name, value):
            drafts.problem(place, f'field "{name}" {problem}')
    mask = row.value("mask")
    if coco != isinstance(mask, dict) and (coco or mask is not None):
        remedy = (
            "--from ti2i reads masks as the official file writes them" if coco else "use --from coco-mask"
        )
        wanted_form = (
            'an object with "size" and "counts"' if coco else "a list of numbers or a picture's path"
        )
        drafts.problem(place, f'field "mask" must be {wanted_form}, not {kind_of(mask)}; {remedy}')
        return
    for number, target in enumerate(targets, start=1):
        sample_id = wanted if len(targets) == 1 else drafts.free_id(f"{wanted}_{number}")
        prompts = {"original_prompt": source, "editing_prompt": target}
        drafts.found.append(Draft(place, sample_id, picture, "image_path", prompts | fields, mask))

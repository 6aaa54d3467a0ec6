"""Read JSON annotations with some of PIE-Bench's fields: TI2I's list, and masks in COCO's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.data.annotations import text_problem
from piebench_eval.data.convert.raw_annotations import Entry, RawAnnotation, RawAnnotations, list_entries
from piebench_eval.data.mapping_file import JsonObject, find_invalid_number, read_json
from piebench_eval.data.messages import kind_of, printable
from piebench_eval.data.sample import id_problem
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WHAT = "annotations by id, or a list of annotations"
_OPTIONAL = ("editing_instruction", "editing_type_id", "blended_word")


def read_ti2i(file: Path) -> RawAnnotations:
    """Read annotations with at least image_path, original_prompt and editing_prompt.

    The file is an object of annotations by id, or a list; ``editing_prompt`` may be a list of
    several targets.

    Raises:
        PiebenchError: the file cannot be read, or holds no annotations.
    """
    return _read(file, coco=False)


def read_coco_mask(file: Path) -> RawAnnotations:
    """Read annotations as ``read_ti2i`` does, whose masks are objects with COCO's ``size`` and ``counts``.

    Raises:
        PiebenchError: the file cannot be read, or holds no annotations.
    """
    return _read(file, coco=True)


def _read(file: Path, coco: bool) -> RawAnnotations:
    try:
        content = read_json(file)
    except FileNotFoundError:
        raise PiebenchError(f"--in {file}: there is no such file") from None
    raw = RawAnnotations(file)
    ids: set[str] = set()
    for place, wanted, entry in _entries(raw, content):
        if problem := id_problem(wanted):
            raw.problem(place, f"the id {problem}")
        elif wanted in ids:
            raw.problem(place, f"id {printable(wanted)} occurs twice; give each annotation its own id")
        ids.add(wanted)
        if number := find_invalid_number(entry):
            raw.problem(place, f"holds {number}, which is no number; write what is meant")
        else:
            _add(raw, place, wanted, entry, coco)
    return raw


def _entries(raw: RawAnnotations, content: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Annotations with their places and ids."""
    if isinstance(content, JsonObject):
        for twice in content.duplicates:
            raw.problem(f"id {printable(twice)}", "occurs twice; give each annotation its own id")
        for sample_id, entry in content.items():
            if not isinstance(entry, JsonObject):
                raw.problem(f"id {printable(sample_id)}", f"must have fields, but is {kind_of(entry)}")
        return [
            (f"id {printable(sample_id)}", sample_id, entry)
            for sample_id, entry in content.items()
            if isinstance(entry, JsonObject)
        ]
    listed = list_entries(raw, content, _WHAT)
    return [(place, str(entry.get("id", place.removeprefix("entry "))), entry) for place, entry in listed]


def _add(raw: RawAnnotations, place: str, wanted: str, entry: Mapping[str, Any], coco: bool) -> None:
    for twice in entry.duplicates if isinstance(entry, JsonObject) else ():
        raw.problem(place, f'field "{printable(twice)}" occurs twice; keep one')
    row = Entry(raw, place, entry)
    image, source, targets = (
        row.text("image_path"),
        row.text("original_prompt"),
        row.texts("editing_prompt"),
    )
    fields = {name: entry[name] for name in _OPTIONAL if entry.get(name) is not None}
    for name, value in fields.items():
        if problem := text_problem(name, value):
            raw.problem(place, f'field "{name}" {problem}')
    mask = row.value("mask")
    if coco != isinstance(mask, dict) and (coco or mask is not None):
        remedy = (
            "--from ti2i reads masks as the official file writes them" if coco else "use --from coco-mask"
        )
        wanted_form = (
            'an object with "size" and "counts"' if coco else "a list of numbers or a picture's path"
        )
        raw.problem(place, f'field "mask" must be {wanted_form}, not {kind_of(mask)}; {remedy}')
        return
    for number, target in enumerate(targets, start=1):
        sample_id = wanted if len(targets) == 1 else raw.free_id(f"{wanted}_{number}")
        prompts = {"original_prompt": source, "editing_prompt": target}
        raw.found.append(RawAnnotation(place, sample_id, image, "image_path", prompts | fields, mask))

"""Read edits from a CSV table with a line for each edit."""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath
from typing import Any

from piebench_eval.data.annotations import text_problem
from piebench_eval.data.convert.raw_annotations import Entry, RawAnnotation, RawAnnotations, read_text
from piebench_eval.data.messages import printable
from piebench_eval.data.sample import TYPE_NAMES, id_problem
from piebench_eval.errors import PiebenchError

NEEDED = ("image", "source_prompt", "target_prompt")
"""Required columns."""

OPTIONAL = ("id", "type", "instruction", "blended_word", "mask")
"""Optional columns; their cells may be empty."""

_FIELDS = {"type": "editing_type_id", "instruction": "editing_instruction", "blended_word": "blended_word"}
_SEPARATORS = (",", ";", "\t")
_NEVER_EMPTY = {"image": "the path of the picture", "target_prompt": "what the edit shows"}
_NUMBER = re.compile("[0-9]{1,15}")
_BETWEEN_NUMBERS = re.compile(r"[\s,;]+")


def read_csv(file: Path) -> RawAnnotations:
    """Read a table with the columns ``NEEDED`` and any of ``OPTIONAL``.

    Cells are separated by commas, semicolons or tabs: the most frequent of them in the first line.

    Raises:
        PiebenchError: it cannot be read, or has other columns.
    """
    text = read_text(file)
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    rows = csv.DictReader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    raw = RawAnnotations(file)
    try:
        _check_columns(file, rows.fieldnames or ())
        for cells in rows:
            _add(raw, f"line {rows.line_num}", cells)
    except csv.Error as error:
        raise PiebenchError(
            f"--in {file}: line {rows.line_num}: is no CSV ({error}); mend it there"
        ) from None
    if not raw.found and not raw.problems:
        raise PiebenchError(f"--in {file}: has no line below the columns' names; write one for each edit")
    return raw


def _check_columns(file: Path, columns: Any) -> None:
    names = [column.strip() for column in columns]
    if missing := [name for name in NEEDED if name not in names]:
        raise PiebenchError(
            f"--in {file}: line 1: column {', '.join(missing)} is missing; the first line names the columns: "
            f"{', '.join(NEEDED)}, and any of {', '.join(OPTIONAL)}"
        )
    for name in names:
        if name not in (*NEEDED, *OPTIONAL):
            raise PiebenchError(
                f"--in {file}: line 1: there is no column {printable(name)}; leave it out, or use one of "
                f"{', '.join([*NEEDED, *OPTIONAL])}"
            )
        if names.count(name) > 1:
            raise PiebenchError(f"--in {file}: line 1: column {name} occurs twice; leave one out")


def _add(raw: RawAnnotations, place: str, cells: dict[Any, Any]) -> None:
    if None in cells:
        raw.problem(place, "has more cells than the first line names; put text with separators in quotes")
        return
    if any(value is None for value in cells.values()):
        raw.problem(
            place, "has fewer cells than the first line names; leave cells empty, but keep separators"
        )
        return
    row = Entry(raw, place, {name.strip(): value.strip() for name, value in cells.items()})
    image, mask = row.text("image"), row.text("mask", needed=False)
    for name, what in _NEVER_EMPTY.items():
        if not row.value(name):
            raw.problem(place, f'field "{name}" is empty; write {what}')
    fields = {"original_prompt": row.text("source_prompt"), "editing_prompt": row.text("target_prompt")}
    for name, official in _FIELDS.items():
        if value := row.text(name, needed=False):
            fields[official] = _TYPES.get(value.lower(), value) if name == "type" else value
            if problem := text_problem(official, fields[official]):
                raw.problem(place, f'field "{name}" {problem}')
    numbers = _BETWEEN_NUMBERS.split(mask)
    runs = [int(number) for number in numbers] if all(map(_NUMBER.fullmatch, numbers)) else mask
    sample_id = _id(raw, row, image)
    raw.found.append(RawAnnotation(place, sample_id, image, "image", fields, runs or None))


def _id(raw: RawAnnotations, row: Entry, image: str) -> str:
    """The id in the line, or else the image's name, with a number if the image has several targets."""
    given = row.text("id", needed=False)
    if not given:
        return raw.free_id(PurePosixPath(image.replace("\\", "/")).stem)
    if problem := id_problem(given):
        raw.problem(row.place, f'field "id" {problem}')
    elif any(annotation.id == given for annotation in raw.found):
        raw.problem(
            row.place, f'field "id": {printable(given)} occurs twice; give each line line its own, or none'
        )
    return given


_TYPES = {name: type_id for type_id, name in TYPE_NAMES.items()}

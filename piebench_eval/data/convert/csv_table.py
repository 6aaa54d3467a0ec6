"""Benchmarks that people write as a table: CSV with a line for each edit."""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath
from typing import Any

from piebench_eval.data.annotations import text_problem
from piebench_eval.data.convert.draft import Draft, Drafts, Row, read_text
from piebench_eval.data.names import id_problem, shown
from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.errors import PiebenchError

NEEDED = ("image", "source_prompt", "target_prompt")
"""Columns that a table must have."""

OPTIONAL = ("id", "type", "instruction", "blended_word", "mask")
"""Columns that it may have; their cells may be empty."""

_FIELDS = {"type": "editing_type_id", "instruction": "editing_instruction", "blended_word": "blended_word"}
_SEPARATORS = (",", ";", "\t")
_NEVER_EMPTY = {"image": "the path of the picture", "target_prompt": "what the edit shows"}
_NUMBER = re.compile("[0-9]{1,15}")
_BETWEEN_NUMBERS = re.compile(r"[\s,;]+")


def read_csv(file: Path) -> Drafts:
    """Read a table with the columns ``NEEDED`` and any of ``OPTIONAL``.

    Between cells stand commas, semicolons or tabs, whichever the first line has most of.

    Raises:
        PiebenchError: it cannot be read, or has other columns.
    """
    text = read_text(file)
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    rows = csv.DictReader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    drafts = Drafts(file)
    try:
        _check_columns(file, rows.fieldnames or ())
        for cells in rows:
            _add(drafts, f"line {rows.line_num}", cells)
    except csv.Error as error:
        raise PiebenchError(
            f"--in {file}: line {rows.line_num}: is no CSV ({error}); mend it there"
        ) from None
    if not drafts.found and not drafts.problems:
        raise PiebenchError(f"--in {file}: has no line below the columns' names; write one for each edit")
    return drafts


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
                f"--in {file}: line 1: there is no column {shown(name)}; leave it out, or use one of "
                f"{', '.join([*NEEDED, *OPTIONAL])}"
            )
        if names.count(name) > 1:
            raise PiebenchError(f"--in {file}: line 1: column {name} occurs twice; leave one out")


def _add(drafts: Drafts, place: str, cells: dict[Any, Any]) -> None:
    if None in cells:
        drafts.problem(place, "has more cells than the first line names; put text with separators in quotes")
        return
    if any(value is None for value in cells.values()):
        drafts.problem(
            place, "has fewer cells than the first line names; leave cells empty, but keep separators"
        )
        return
    row = Row(drafts, place, {name.strip(): value.strip() for name, value in cells.items()})
    picture, mask = row.text("image"), row.text("mask", needed=False)
    for name, what in _NEVER_EMPTY.items():
        if not row.value(name):
            drafts.problem(place, f'field "{name}" is empty; write {what}')
    fields = {"original_prompt": row.text("source_prompt"), "editing_prompt": row.text("target_prompt")}
    for name, official in _FIELDS.items():
        if value := row.text(name, needed=False):
            fields[official] = _TYPES.get(value.lower(), value) if name == "type" else value
            if problem := text_problem(official, fields[official]):
                drafts.problem(place, f'field "{name}" {problem}')
    numbers = _BETWEEN_NUMBERS.split(mask)
    runs = [int(number) for number in numbers] if all(map(_NUMBER.fullmatch, numbers)) else mask
    sample_id = _id(drafts, row, picture)
    drafts.found.append(Draft(place, sample_id, picture, "image", fields, runs or None))


def _id(drafts: Drafts, row: Row, picture: str) -> str:
    """The id that a line gives, or else the picture's name, with a number where it has several targets."""
    given = row.text("id", needed=False)
    if not given:
        return drafts.free_id(PurePosixPath(picture.replace("\\", "/")).stem)
    if problem := id_problem(given):
        drafts.problem(row.place, f'field "id" {problem}')
    elif any(draft.id == given for draft in drafts.found):
        drafts.problem(row.place, f'field "id": {shown(given)} occurs twice; give each line its own, or none')
    return given


_TYPES = {name: type_id for type_id, name in TYPE_NAMES.items()}

"""The base class of all settings, and messages about settings that are invalid."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

MOVED_FIELDS = {
    quirk: f"quirks.{quirk}"
    for quirk in (
        "pixel_overflow",
        "count_skipped_steps",
        "split_punctuation",
        "blend_maps",
        "lost_blend_word",
        "rate_steps",
    )
}
"""Fields of earlier recipes that have moved, and where to."""


class Settings(BaseModel):
    """Base class of all settings: of recipes, inversions, methods and protocols.

    Unknown fields are refused, and values cannot be changed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def explain_invalid(error: ValidationError, fields: Iterable[str] = (), section: str = "") -> list[str]:
    """One line per problem: field, what is wrong, what was given.

    Args:
        error: pydantic's error.
        fields: names of the existing fields, to suggest one for an unknown name.
        section: where the fields are, such as ``inversion.flowedit``.
    """
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        message, given = problem["msg"].removeprefix("Value error, "), f" (given: {problem['input']!r})"
        if not field:  # about the section as a whole; our own messages name its fields and values
            of_us = problem["type"] == "value_error"
            lines.append((f"{section}: " if section else "") + message + ("" if of_us else given))
            continue
        if problem["type"] == "extra_forbidden":
            line = no_such_field(field, fields)
        elif problem["type"] == "missing":
            line = f"{field}: is missing"
        else:
            line = f"{field}: {message}{given}"
        lines.append(f"{section}.{line}" if section else line)
    return lines


def no_such_field(name: str, fields: Iterable[str]) -> str:
    """A message about an unknown field, with the nearest known ones.

    >>> no_such_field("stepz", ["steps", "seed"]), no_such_field("x", ["steps", "seed"])
    ('stepz: no such field; is steps meant?', 'x: no such field; there are: steps, seed')
    """
    fields = list(fields)
    if (moved := MOVED_FIELDS.get(name.rpartition(".")[2])) and not name.startswith("quirks."):
        return f"{name}: is {moved} now, a field of the recipe's section quirks"
    near = get_close_matches(name, fields, n=3)
    if near:
        return f"{name}: no such field; is {' or '.join(near)} meant?"
    return f"{name}: no such field" + (f"; there are: {', '.join(fields)}" if fields else "")

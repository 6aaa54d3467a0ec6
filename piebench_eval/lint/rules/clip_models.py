"""CLIP similarities of different CLIP models in one table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from piebench_eval.lint.table import Level, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from piebench_eval.lint.table import Finding, Row, Table

_CLIP_KEYS = ("clip_whole", "clip_edit")
_VIT = re.compile(
    r"(?:vit|patch|clip)?[-_ /]*\b(b|l|h|g|base|large|huge|giant)[-_ /]*(?:patch)?[-_ /]*(14|16|32)\b", re.I
)


def clip_name(text: str) -> str:
    """The short name of a CLIP model; the text itself, in small letters, if it names none.

    >>> clip_name("openai/clip-vit-large-patch14"), clip_name("B/16"), clip_name("Mine")
    ('ViT-L/14', 'ViT-B/16', 'mine')
    """
    found = _VIT.search(text)
    return f"ViT-{found[1][0].upper()}/{found[2]}" if found else text.strip().lower()


def clip_in(text: str) -> str:
    """The CLIP model that a text names; empty if it names none.

    >>> clip_in("CLIP (ViT-B/16) Whole"), clip_in("CLIP Whole")
    ('ViT-B/16', '')
    """
    name = clip_name(text)
    return name if name.startswith("ViT-") else ""


def mixed_clip_models(table: Table) -> Iterator[Finding]:
    """Find rows and columns whose CLIP is another than that of most of the table."""
    named = [
        (row, key, clip)
        for row in table.rows
        for key in _CLIP_KEYS
        if key in row.values and (clip := clip_name(row.clip_model or table.columns[key].clip_model))
    ]
    names = [clip for *_, clip in named]
    most = max(dict.fromkeys(names), key=names.count, default="")
    others: dict[int, tuple[Row, str, str]] = {}
    for row, key, clip in named:
        if clip != most:
            others.setdefault(id(row), (row, key, clip))
    for row, key, clip in others.values():
        yield finding(
            "clip-model",
            Level.INCOMPARABLE,
            table,
            row,
            (key,),
            what=f"CLIP similarity is by {clip}, in other places of the table by {most}",
            why="CLIP models differ by several points for the same picture, far more than methods do",
            mend="score all rows with one CLIP; the benchmark's is openai/clip-vit-large-patch14",
        )

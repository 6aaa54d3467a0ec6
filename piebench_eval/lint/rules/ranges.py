"""Values that no picture has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES, unit_text
from piebench_eval.lint.table import Level, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from piebench_eval.lint.table import Finding, Table

_VIT_L = 30.0
"""CLIP ViT-L/14 gives less in every published row; ViT-B/32 and B/16 give as much to good edits."""


def out_of_range(table: Table) -> Iterator[Finding]:
    """Find means outside the limits of their metric, whatever the pictures."""
    for row in table.rows:
        for key, value in row.values.items():
            quantity = QUANTITIES[key]
            if value.high >= quantity.lowest and value.low <= quantity.highest:
                continue
            unit = unit_text(key, table.columns[key].power)
            yield finding(
                "out-of-range",
                Level.IMPOSSIBLE,
                table,
                row,
                (key,),
                what=f"{quantity.title} {value.text} ({unit}) is out of range: {_limits(key)} in Table 1's "
                "unit, "
                f"{unit_text(key, quantity.power)}",
                why="no pictures have such a mean",
                mend="correct the number or the unit in the heading",
            )


def unusual_clip(table: Table) -> Iterator[Finding]:
    """Find CLIP similarities that the benchmark's CLIP does not give, or whose columns are exchanged."""
    for row in table.rows:
        whole, edited = row.values.get("clip_whole"), row.values.get("clip_edit")
        for key, value in (("clip_whole", whole), ("clip_edit", edited)):
            if value is not None and value.low >= _VIT_L and value.high <= QUANTITIES[key].usual[1]:
                yield finding(
                    "clip-model",
                    Level.DOUBTFUL,
                    table,
                    row,
                    (key,),
                    what=f"{QUANTITIES[key].title} {value.text} is more than CLIP ViT-L/14 gives on this "
                    "benchmark",
                    why="the benchmark's CLIP is ViT-L/14; ViT-B/32 and ViT-B/16 give values that are "
                    "several "
                    "points higher, and cannot be compared with its",
                    mend="score with openai/clip-vit-large-patch14, or name the CLIP in the heading",
                )
        usual = QUANTITIES["clip_whole"].usual[0]
        if whole is not None and edited is not None and usual < whole.high < edited.low:
            yield finding(
                "clip-exchanged",
                Level.DOUBTFUL,
                table,
                row,
                ("clip_whole", "clip_edit"),
                what=f"CLIP of the whole picture, {whole.text}, is below that of the edited part, "
                f"{edited.text}",
                why="the edited part is scored with all else black, which costs every other published row at "
                "least "
                "1.7 points",
                mend="check both numbers, and that the columns are not exchanged",
            )


def _limits(key: str) -> str:
    lowest, highest = QUANTITIES[key].lowest, QUANTITIES[key].highest
    return (
        f"it cannot be below {lowest:g}"
        if highest == float("inf")
        else f"it lies in {lowest:g} to {highest:g}"
    )

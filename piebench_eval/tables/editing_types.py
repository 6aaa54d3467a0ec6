"""Editing types in scores files and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def of_types(scores: pd.DataFrame, types: Sequence[str] | None) -> pd.DataFrame:
    """The rows of some editing types; None stands for all.

    Raises:
        PiebenchError: the scores have no types, or no row of these.
    """
    if types is None:
        return scores
    require_type_column(scores)
    kept = scores[scores["type"].isin(types)]
    if kept.empty:
        raise PiebenchError(
            f"the scores have no row of editing type {', '.join(types)}; there are: {_known(scores)}"
        )
    return kept


def require_types(scores: pd.DataFrame, types: Sequence[str]) -> None:
    """Check that scores hold every type that is asked for.

    Raises:
        PiebenchError: they do not, or say nothing of types.
    """
    require_type_column(scores)
    if unknown := sorted(set(types) - set(scores["type"])):
        raise PiebenchError(
            f"--types {','.join(types)}: the scores hold no editing type {', '.join(unknown)}; "
            f"there are: {_known(scores)}"
        )


def require_type_column(scores: pd.DataFrame) -> None:
    """Check that scores say which editing type each row is of.

    Raises:
        PiebenchError: they do not, or not all of them.
    """
    if "type" not in scores.columns:
        raise PiebenchError("the scores have no column type; make the file with piebench score")
    untyped = scores[scores["type"].isna() | (scores["type"] == "")]
    if len(untyped):
        raise PiebenchError(
            f"{len(untyped)} rows of the scores have no editing type (the first is of id "
            f"{untyped['id'].iloc[0]}); fill column type"
        )


def type_label(type_id: str) -> str:
    """How tables call an editing type.

    >>> type_label("1"), type_label("12")
    ('1 change object', '12 other')
    """
    return f"{type_id} {TYPE_NAMES.get(type_id, 'other')}"


def type_order(type_id: str) -> tuple[int, str]:
    """Sort key of editing types: by number.

    >>> sorted(["10", "9", "x", "2"], key=type_order)
    ['2', '9', '10', 'x']
    """
    return (int(type_id), "") if type_id.isdecimal() else (10**9, type_id)


def _known(scores: pd.DataFrame) -> str:
    return ", ".join(sorted(set(scores["type"]), key=type_order))

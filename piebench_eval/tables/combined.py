"""Scores of several runs and folders in one frame, where every combination has a name of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import CLIP_SOURCE
from piebench_eval.tables.aggregate import RUN, combination_name, label_columns
from piebench_eval.tables.labels import with_whole_labels
from piebench_eval.tables.layout import metrics_in
from piebench_eval.tables.provenance import ABOUT_COLUMN, about_of_rows, with_about

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SAME_SOURCE = 1.0
"""Two scores of the same source by the same CLIP differ by less, in whichever size it was loaded."""

_SAME_NUMBERS = 1e-4
"""How far the scores of one picture are apart, relatively, on different machines."""


@dataclass(frozen=True)
class Part:
    """The scores of one run or folder.

    Attributes:
        place: what the user named: a run folder or a scores file.
        rows: from ``read_scores``.
        about: what is known of them; empty if nothing is.
    """

    place: Path
    rows: pd.DataFrame
    about: dict[str, Any]


def told_apart(parts: Sequence[Part]) -> list[Part]:
    """Give every combination of several runs and folders a name of its own.

    What several of them call alike (two runs of ``direct+p2p`` by different settings) is told apart by a
    column ``run``, the shortest end of the path that differs. The demo's reference rows are the same in
    every run, and only the first keeps them.

    Args:
        parts: the scores; two at least.

    Returns:
        The same with the column, where it is needed, and what is known of them by the new names.

    Raises:
        PiebenchError: a place is named twice.
    """
    labels = labels_of([part.place for part in parts])
    parts = _without_repeated_references(parts)
    names = [_names(part.rows) for part in parts]
    counts = Counter(name for of_part in names for name in of_part)
    shared = {name for name, count in counts.items() if count > 1}
    return [
        _marked(part, label if of_part & shared else "", shared)
        for part, label, of_part in zip(parts, labels, names, strict=True)
    ]


def put_together(parts: Sequence[Part]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Put scores of several origins into one frame.

    Args:
        parts: from ``told_apart``.

    Returns:
        The rows, and what is known of them all.

    Raises:
        PiebenchError: the parts are of different benchmarks, or were scored in ways that cannot stand in one
            table.
    """
    rows = pd.concat(
        [with_about(part.rows, part.about) if part.about else part.rows for part in parts],
        ignore_index=True,
    )
    rows = with_whole_labels(rows)
    _require_one_benchmark(rows)
    about = about_of_rows(rows) if ABOUT_COLUMN in rows.columns else {}
    return rows, {**about, **_other_sources(rows)}


def labels_of(places: Sequence[Path]) -> list[str]:
    """What to call runs and scores files: the shortest ends of their paths that differ.

    >>> from pathlib import Path
    >>> labels_of([Path("runs/a"), Path("runs/b/scores.csv"), Path("x/mine.csv"), Path("y/mine.csv")])
    ['a', 'b', 'x/mine', 'y/mine']

    Raises:
        PiebenchError: a place is named twice.
    """
    paths = [_named(place.resolve()) for place in places]
    for place, path in zip(places, paths, strict=True):
        if paths.count(path) > 1:
            raise PiebenchError(f"{place}: is named twice; name each run and each scores file once")
    return [_shortest_end(path, paths) for path in paths]


def label_of(place: Path) -> str:
    """What to call a run or a scores file by itself."""
    return _named(place.resolve()).name


def _named(place: Path) -> Path:
    """A run's own scores file is called as the run is; any other as its file, without the suffix."""
    if place.name == "scores.csv":
        return place.parent
    return place.with_suffix("") if place.suffix == ".csv" else place


def _shortest_end(path: Path, paths: Sequence[Path]) -> str:
    for length in range(1, len(path.parts)):
        end = path.parts[-length:]
        if sum(other.parts[-length:] == end for other in paths) == 1:
            return "/".join(end)
    return str(path)


def _names(rows: pd.DataFrame) -> set[str]:
    labels = label_columns(rows)
    return {combination_name(row, labels) for row in rows[labels].drop_duplicates().to_dict("records")}


def _marked(part: Part, label: str, shared: Collection[str]) -> Part:
    """The same with the run's label, if it needs one, in its rows and in the names of its combinations.

    A row that no inversion made has the label only where its own name is shared. The settings of a
    combination take the run's image format with them: another run may have another.
    """
    rows = part.rows
    if label:
        is_edit = rows["inversion"] != "" if "inversion" in rows.columns else rows["name"].isin(shared)
        is_shared = rows["method"].isin(shared) if "method" in rows.columns else False
        rows = rows.assign(**{RUN: np.where(is_edit | is_shared, label, "")})
    if not part.about:
        return Part(part.place, rows, {})
    common = {field: part.about[field] for field in ("image_format",) if field in part.about}
    combinations = {
        f"{label}/{name}" if label else name: {**common, **settings}
        for name, settings in part.about.get("combinations", {}).items()
    }
    return Part(part.place, rows, {**part.about, "combinations": combinations})


def _without_repeated_references(parts: Sequence[Part]) -> list[Part]:
    """Drop rows that no inversion made and that an earlier part has with the same numbers."""
    known: dict[tuple[str, str], NDArray[np.float64]] = {}
    kept = []
    columns = metrics_in(set.intersection(*(set(part.rows.columns) for part in parts)))
    for part in parts:
        rows = part.rows
        references = rows[rows["inversion"] == ""] if "inversion" in rows.columns else rows[:0]
        repeated = []
        for index, row in references.iterrows():
            numbers = row[[metric.column for metric in columns]].to_numpy(dtype=float)
            first = known.setdefault((row["method"], row["id"]), numbers)
            if first is not numbers and np.allclose(first, numbers, rtol=_SAME_NUMBERS, equal_nan=True):
                repeated.append(index)
        kept.append(Part(part.place, rows.drop(index=repeated), part.about))
    return kept


def _require_one_benchmark(rows: pd.DataFrame) -> None:
    if "type" not in rows.columns:
        return
    typed = rows[rows["type"] != ""]
    types = typed.groupby("id")["type"].unique()
    if len(different := types[types.map(len) > 1]):
        raise PiebenchError(
            f"id {different.index[0]}: is of editing type {' and '.join(different.iloc[0])}, so these scores "
            "are of different benchmarks; tabulate them apart"
        )


def _other_sources(rows: pd.DataFrame) -> dict[str, int]:
    """How many ids have sources that CLIP does not take for the same, as ``other_sources``; or nothing."""
    if CLIP_SOURCE not in rows.columns:
        return {}
    scores = rows.groupby("id")[CLIP_SOURCE]
    number = int((scores.max() - scores.min() > _SAME_SOURCE).sum())
    return {"other_sources": number} if number else {}

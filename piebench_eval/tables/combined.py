"""Combine the scores of several runs and folders into one frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import CLIP_SOURCE
from piebench_eval.tables.layout import metrics_in
from piebench_eval.tables.provenance import PROVENANCE_COLUMN, provenance_of_rows, with_provenance
from piebench_eval.tables.scores import RUN, combination_name, label_columns, with_uniform_labels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SAME_SOURCE = 1.0
"""CLIP scores of one source image differ by less than this, whatever size it was loaded in."""

_SAME_NUMBERS = 1e-4
"""Relative difference between scores of the same image on different machines."""


@dataclass(frozen=True)
class RunScores:
    """The scores of one run or folder.

    Attributes:
        path: what the user named: a run folder or a scores file.
        rows: from ``read_scores``.
        provenance: from ``read_provenance``; empty if unknown.
    """

    path: Path
    rows: pd.DataFrame
    provenance: dict[str, Any]


def disambiguate(parts: Sequence[RunScores]) -> list[RunScores]:
    """Make the names of combinations unique across runs and folders.

    A name that several of them use (two runs of ``direct+p2p`` with different settings) is made unique by a
    column ``run``, the shortest end of the path that differs. The demo's reference rows are the same in
    every run; only those of the first are kept.

    Args:
        parts: the scores; two at least.

    Returns:
        The scores with the column, where it is needed, and their provenance under the new names.

    Raises:
        PiebenchError: a path is named twice.
    """
    labels = run_labels([part.path for part in parts])
    parts = _without_repeated_references(parts)
    names = [_names(part.rows) for part in parts]
    counts = Counter(name for of_part in names for name in of_part)
    shared = {name for name, count in counts.items() if count > 1}
    return [
        _with_label(part, label if of_part & shared else "", shared)
        for part, label, of_part in zip(parts, labels, names, strict=True)
    ]


def combine_scores(parts: Sequence[RunScores]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Concatenate the scores of several runs and folders.

    Args:
        parts: from ``disambiguate``.

    Returns:
        The rows, and their merged provenance.

    Raises:
        PiebenchError: the scores are of different benchmarks, or of different protocols, networks or
            settings.
    """
    rows = pd.concat(
        [with_provenance(part.rows, part.provenance) if part.provenance else part.rows for part in parts],
        ignore_index=True,
    )
    rows = with_uniform_labels(rows)
    _require_one_benchmark(rows)
    provenance = provenance_of_rows(rows) if PROVENANCE_COLUMN in rows.columns else {}
    return rows, {**provenance, **_other_sources(rows)}


def run_labels(paths: Sequence[Path]) -> list[str]:
    """Labels of runs and scores files: the shortest ends of their paths that differ.

    >>> from pathlib import Path
    >>> run_labels([Path("runs/a"), Path("runs/b/scores.csv"), Path("x/mine.csv"), Path("y/mine.csv")])
    ['a', 'b', 'x/mine', 'y/mine']

    Raises:
        PiebenchError: a path is named twice.
    """
    resolved = [_labelled_path(path.resolve()) for path in paths]
    for path, of_label in zip(paths, resolved, strict=True):
        if resolved.count(of_label) > 1:
            raise PiebenchError(f"{path}: is named twice; name each run and each scores file once")
    return [_shortest_end(path, resolved) for path in resolved]


def run_label(path: Path) -> str:
    """The label of a single run or scores file."""
    return _labelled_path(path.resolve()).name


def _labelled_path(path: Path) -> Path:
    """The path that the label is taken from: the run folder, or the scores file without its suffix."""
    if path.name == "scores.csv":
        return path.parent
    return path.with_suffix("") if path.suffix == ".csv" else path


def _shortest_end(path: Path, paths: Sequence[Path]) -> str:
    for length in range(1, len(path.parts)):
        end = path.parts[-length:]
        if sum(other.parts[-length:] == end for other in paths) == 1:
            return "/".join(end)
    return str(path)


def _names(rows: pd.DataFrame) -> set[str]:
    labels = label_columns(rows)
    return {combination_name(row, labels) for row in rows[labels].drop_duplicates().to_dict("records")}


def _with_label(part: RunScores, label: str, shared: Collection[str]) -> RunScores:
    """Add a run's label, if it needs one, to its rows and to the names of its combinations.

    A row that no run edited (of a reference or a folder) gets the label only where its name is shared. The
    image format becomes one of each combination's settings, since it may differ between runs.
    """
    rows = part.rows
    if label:
        is_edit = _of_a_run(part) if "inversion" in rows.columns else rows["name"].isin(shared)
        has_wildcards = rows["method"].isin(shared) if "method" in rows.columns else False
        rows = rows.assign(**{RUN: np.where(is_edit | has_wildcards, label, "")})
    if not part.provenance:
        return RunScores(part.path, rows, {})
    common = {field: part.provenance[field] for field in ("image_format",) if field in part.provenance}
    combinations = {
        f"{label}/{name}" if label else name: {**common, **settings}
        for name, settings in part.provenance.get("combinations", {}).items()
    }
    known = part.provenance.get("combinations", {})
    facts = {
        f"{label}/{name}" if label and (name in known or name in shared) else name: of_name
        for name, of_name in part.provenance.get("rows", {}).items()
    }
    about = {**part.provenance, "combinations": combinations, **({"rows": facts} if facts else {})}
    return RunScores(part.path, rows, about)


def _of_a_run(part: RunScores) -> pd.Series:
    """Whether a run edited each row: an inversion with a method, or an editor."""
    edited = part.provenance.get("combinations", {})
    return (part.rows["inversion"] != "") | part.rows["method"].isin(list(edited))


def _without_repeated_references(parts: Sequence[RunScores]) -> list[RunScores]:
    """Drop rows that no run edited (references, folders) and an earlier run has with the same numbers."""
    known: dict[tuple[str, str], NDArray[np.float64]] = {}
    kept = []
    columns = metrics_in(set.intersection(*(set(part.rows.columns) for part in parts)))
    for part in parts:
        rows = part.rows
        references = rows[~_of_a_run(part)] if "inversion" in rows.columns else rows[:0]
        repeated = []
        for index, row in references.iterrows():
            numbers = row[[metric.column for metric in columns]].to_numpy(dtype=float)
            first = known.setdefault((row["method"], row["id"]), numbers)
            if first is not numbers and np.allclose(first, numbers, rtol=_SAME_NUMBERS, equal_nan=True):
                repeated.append(index)
        kept.append(RunScores(part.path, rows.drop(index=repeated), part.provenance))
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
    """Count the ids whose source images differ according to CLIP, as ``other_sources``; empty if none."""
    if CLIP_SOURCE not in rows.columns:
        return {}
    scores = rows.groupby("id")[CLIP_SOURCE]
    number = int((scores.max() - scores.min() > _SAME_SOURCE).sum())
    return {"other_sources": number} if number else {}

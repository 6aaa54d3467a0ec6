"""What a report is made from: a scored run, its samples, and where every picture is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.candidates import run_candidates
from piebench_eval.runs.edited import WHOLE, different_views
from piebench_eval.runs.scoring import provenance_file
from piebench_eval.tables.aggregate import combination_name, label_columns
from piebench_eval.tables.source import read_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from piebench_eval.bench.images import ImageLoader
    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.candidates import Candidate
    from piebench_eval.runs.store import RunStore
    from piebench_eval.tables.source import Source

_LABELS = ["method", "inversion"]


@dataclass(frozen=True)
class Combination:
    """A row of the table of means.

    Attributes:
        name: ``inversion+method``, or the name of a row that no edit made.
        method: label.
        inversion: label; empty for a row that no edit made.
        loader: how sources were loaded for its pictures.
    """

    name: str
    method: str
    inversion: str
    loader: ImageLoader = "crop"

    @property
    def is_edit(self) -> bool:
        """Whether a method made its pictures: not the ideal edits or the untouched sources."""
        return bool(self.inversion)


@dataclass(frozen=True)
class ScoredRun:
    """A scored run.

    Attributes:
        folder: the run folder.
        source: its scores.
        samples: those that have scores, in the benchmark's order.
        combinations: those that have scores, in Table 1's order.
        pictures: the file of every edit that is there, by combination's name and sample id.
        unscored: how many finished pictures the scores know nothing of.
    """

    folder: Path
    source: Source
    samples: list[Sample]
    combinations: list[Combination]
    pictures: Mapping[tuple[str, str], Path]
    unscored: int

    @cached_property
    def views(self) -> list[ImageLoader]:
        """The loaders that show sources as the edits beside them do; one where all show the same."""
        return different_views((each.loader for each in self.combinations), self.samples)

    def view_of(self, combination: Combination) -> int:
        """Which of the views shows the sources of a combination."""
        return self.views.index(combination.loader) if len(self.views) > 1 else 0

    @property
    def gone(self) -> int:
        """How many pictures have scores and are not there."""
        return len(_scored_pairs(self.source) - set(self.pictures))


def read_scored_run(store: RunStore, data: Path | None = None) -> ScoredRun:
    """Find a run's scores, samples and pictures.

    Args:
        store: the run.
        data: the benchmark folder, if it is no longer where the run found it.

    Raises:
        PiebenchError: it is not scored, its scores cannot be used, or its benchmark is gone.
    """
    if not store.scores_file.is_file():
        raise PiebenchError(
            f"{store.scores_file}: no such file; run piebench score {quote(str(store.folder))} first"
        )
    source = read_source(store.scores_file, provenance_file(store.scores_file), None)
    if label_columns(source.rows) != _LABELS:
        raise PiebenchError(
            f"{store.scores_file}: has no columns inversion and method; make it with piebench score "
            f"{quote(str(store.folder))}"
        )
    candidates, _ = run_candidates(store, data)
    pictures = {(_name_of(candidate), candidate.sample.id): candidate.file for candidate in candidates}
    return ScoredRun(
        folder=store.folder,
        source=source,
        samples=_scored_samples(candidates, source, store.scores_file),
        combinations=_combinations(source, {_name_of(each): each.loader or WHOLE for each in candidates}),
        pictures=pictures,
        # A choice of editing types leaves rows out on purpose.
        unscored=0 if source.rules.types else len(set(pictures) - _scored_pairs(source)),
    )


def _scored_pairs(source: Source) -> set[tuple[str, str]]:
    """Combination's name and sample id of every row of the scores."""
    columns = (source.rows[column] for column in (*_LABELS, "id"))
    return {
        (combination_name({"method": method, "inversion": inversion}, _LABELS), sample_id)
        for method, inversion, sample_id in zip(*columns, strict=True)
    }


def _name_of(candidate: Candidate) -> str:
    return combination_name(candidate.labels, _LABELS)


def _combinations(source: Source, loaders: Mapping[str, ImageLoader]) -> list[Combination]:
    combinations = [
        Combination(combination_name(row, _LABELS), str(row["method"]), str(row["inversion"]))
        for row in source.means.to_dict(orient="records")
    ]
    return [replace(each, loader=loaders.get(each.name, each.loader)) for each in combinations]


def _scored_samples(candidates: list[Candidate], source: Source, scores_file: Path) -> list[Sample]:
    ids = set(source.rows["id"])
    samples = {candidate.sample.id: candidate.sample for candidate in candidates}
    if unknown := sorted(ids - set(samples)):
        raise PiebenchError(
            f"{scores_file}: column id: the run has no picture of {unknown[0]}; run piebench score again"
        )
    return [sample for sample_id, sample in samples.items() if sample_id in ids]

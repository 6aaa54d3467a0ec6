"""The content of a report: scores, samples and images of one or several scored runs and folders."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import REFERENCES
from piebench_eval.data.images import (
    WHOLE_IMAGE,
    ImageLoader,
    distinct_loaders,
)
from piebench_eval.errors import PiebenchError
from piebench_eval.report.scored_run import read_scored
from piebench_eval.tables.combined import combine_scores, disambiguate
from piebench_eval.tables.score_table import make_score_table
from piebench_eval.tables.scores import RUN, combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from piebench_eval.data.sample import Sample
    from piebench_eval.report.provenance import MeasuredCost, Provenance
    from piebench_eval.report.scored_run import ScoredRun
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.tables.score_table import ScoreTable


@dataclass(frozen=True)
class ReportCombination:
    """A combination in a report: a row of the table of means.

    Attributes:
        name: ``inversion+method``, or the name of an editor, folder or reference row; after the run and a
            slash, where several runs have it.
        method: label.
        inversion: label; empty for an editor, a folder and a reference row.
        loader: how source images were loaded for its edits.
        run: the run's label, where several runs have the combination; else empty.
        is_external: whether its images come from a scored folder and not from a run.
    """

    name: str
    method: str
    inversion: str
    loader: ImageLoader = "crop"
    run: str = ""
    is_external: bool = False

    @property
    def is_edit(self) -> bool:
        """Whether a method made its images; False for ideal edits and unedited sources."""
        return self.is_of_run or self.is_external

    @property
    def is_of_run(self) -> bool:
        """Whether a run made its images, which it keeps in the benchmark's layout."""
        return bool(self.inversion) or not (self.is_external or self.method in REFERENCES)


@dataclass(frozen=True)
class ReportContent:
    """What a report shows.

    Attributes:
        folder: the run folder, or that of the first scores file.
        score_table: the scores, labelled by method and inversion.
        samples: those that have scores, in the benchmark's order.
        combinations: those that have scores, in Table 1's order.
        pictures: the file of every existing edit, by combination's name and sample id.
        unscored: number of finished images without scores.
        external: images of scored folders, by the same; they may be strips or of another size.
        title: title of the page; the folder's name if empty.
        provenances: how the edits and scores of each run or folder were made.
        costs: mean cost of an edit, by combination's name, where it is known.
    """

    folder: Path
    score_table: ScoreTable
    samples: list[Sample]
    combinations: list[ReportCombination]
    pictures: Mapping[tuple[str, str], Path]
    unscored: int
    external: Mapping[tuple[str, str], EditedImage] = field(default_factory=dict)
    title: str = ""
    provenances: Sequence[Provenance] = ()
    costs: Mapping[str, MeasuredCost] = field(default_factory=dict)

    @cached_property
    def views(self) -> list[ImageLoader]:
        """The image loaders whose views of the sources differ; one if all show the same."""
        return distinct_loaders(
            (each.loader for each in self.combinations), (sample.file for sample in self.samples)
        )

    def view_of(self, combination: ReportCombination) -> int:
        """Index of a combination's view of the sources."""
        return self.views.index(combination.loader) if len(self.views) > 1 else 0

    @property
    def gone(self) -> int:
        """Number of scored images whose files are gone."""
        return len(_scored_pairs(self.score_table.rows) - set(self.pictures))

    def rows_of(self, combination: ReportCombination) -> pd.DataFrame:
        """The scores of a combination."""
        rows = self.score_table.rows
        wanted = (rows["method"] == combination.method) & (rows["inversion"] == combination.inversion)
        return rows[wanted & (rows[RUN] == combination.run)] if RUN in rows.columns else rows[wanted]


def read_content(paths: Sequence[Path], data: Path | None = None) -> ReportContent:
    """Read scores, samples and images of scored runs and folders for one report.

    Args:
        paths: run folders and scores files; one at least.
        data: the benchmark folder, if it has moved.

    Raises:
        PiebenchError: one of them is not scored, its scores cannot be used or combined with the others', or
            its images or its benchmark are gone.
    """
    return _combined([read_scored(path, data) for path in paths])


def _combined(parts: Sequence[ScoredRun]) -> ReportContent:
    several = len(parts) > 1
    renamed = disambiguate([part.scores for part in parts]) if several else [parts[0].scores]
    rows, provenance = combine_scores(renamed) if several else (renamed[0].rows, renamed[0].provenance)
    if "method" not in rows.columns:
        rows = rows.assign(method=rows["name"], inversion="").drop(columns="name")
    score_table = make_score_table(rows, provenance, None)
    named = [_by_name(part, scores.rows) for part, scores in zip(parts, renamed, strict=True)]
    edited_images = {pair: each for scores in named for pair, each in scores.items()}
    return ReportContent(
        folder=parts[0].folder,
        score_table=score_table,
        samples=_scored_samples(parts, set(score_table.rows["id"])),
        combinations=_combinations(score_table, edited_images),
        pictures={pair: each.file for pair, each in edited_images.items()},
        # A selection of editing types leaves rows out on purpose.
        unscored=0 if score_table.leaves_out_pictures else sum(map(_unscored, parts)),
        external={pair: each for pair, each in edited_images.items() if "name" in each.labels},
        title=", ".join(part.provenance.label for part in parts),
        provenances=[part.provenance for part in parts],
        costs={
            names[labels]: cost
            for part, scores in zip(parts, renamed, strict=True)
            for names in [_names(scores.rows)]
            for labels, cost in part.costs.items()
            if labels in names
        },
    )


def _labels_of(row: Mapping[Any, Any]) -> tuple[str, str]:
    """Inversion and method; a folder's name is its method."""
    return str(row.get("inversion", "")), str(row.get("method") or row.get("name"))


def _names(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Names of combinations in the report, by inversion and method."""
    labels = label_columns(rows)
    return {
        _labels_of(row): combination_name(row, labels)
        for row in rows[labels].drop_duplicates().to_dict(orient="records")
    }


def _by_name(part: ScoredRun, rows: pd.DataFrame) -> dict[tuple[str, str], EditedImage]:
    """A run's images by combination's name and sample id.

    Combinations without scores are left out, and so are reference rows that an earlier run has.
    """
    names = _names(rows)
    return {
        (names[labels], edited_image.sample.id): edited_image
        for edited_image in part.edited_images
        if (labels := _labels_of(edited_image.labels)) in names
    }


def _unscored(part: ScoredRun) -> int:
    """Number of a run's images without scores."""
    labels = label_columns(part.scores.rows)
    rows = part.scores.rows[[*labels, "id"]].to_dict(orient="records")
    scored = {(_labels_of(row), row["id"]) for row in rows}
    return sum((_labels_of(each.labels), each.sample.id) not in scored for each in part.edited_images)


def _scored_pairs(rows: pd.DataFrame) -> set[tuple[str, str]]:
    """Combination's name and sample id of every row of the scores."""
    labels = label_columns(rows)
    columns = [*labels, "id"]
    return {
        (combination_name(row, labels), str(row["id"])) for row in rows[columns].to_dict(orient="records")
    }


def _combinations(
    score_table: ScoreTable, edited_images: Mapping[tuple[str, str], EditedImage]
) -> list[ReportCombination]:
    one_of = {name: edited_image for (name, _), edited_image in edited_images.items()}
    labels = label_columns(score_table.means)
    found = []
    for row in score_table.means.to_dict(orient="records"):
        name = combination_name(row, labels)
        edited_image = one_of.get(name)
        found.append(
            ReportCombination(
                name=name,
                method=str(row["method"]),
                inversion=str(row["inversion"]),
                loader=(edited_image.loader if edited_image else "crop") or WHOLE_IMAGE,
                run=str(row.get(RUN, "")),
                is_external=edited_image is not None and "name" in edited_image.labels,
            )
        )
    return found


def _scored_samples(parts: Iterable[ScoredRun], scored: set[str]) -> list[Sample]:
    samples: dict[str, Sample] = {}
    for part in parts:
        own = {edited_image.sample.id: edited_image.sample for edited_image in part.edited_images}
        if unknown := sorted(set(part.scores.rows["id"]) - set(own)):
            raise PiebenchError(
                f"{part.scores_file}: column id: {part.kind} has no picture of {unknown[0]}; run piebench "
                "score again"
            )
        for sample_id, sample in own.items():
            if _task(samples.setdefault(sample_id, sample)) != _task(sample):
                raise PiebenchError(
                    f"{part.scores.path}: its sample {sample_id} differs from the others' (prompts, mask or "
                    "editing type), so they are of different benchmarks; report them apart"
                )
    return [sample for sample_id, sample in samples.items() if sample_id in scored]


def _task(sample: Sample) -> tuple[object, ...]:
    """Prompts, editing type and mask, which must be equal in all runs of a report."""
    return (
        sample.marked_source_prompt,
        sample.marked_target_prompt,
        sample.type_id,
        sample.mask_rle,
    )

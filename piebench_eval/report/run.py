"""What a report is made from: scored runs and folders, their samples, and where every picture is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import ImageLoader  # noqa: TC001 (dataclasses read annotations)
from piebench_eval.errors import PiebenchError
from piebench_eval.report.parts import read_run, read_scored_part
from piebench_eval.scoring.images import WHOLE, different_views
from piebench_eval.tables.aggregate import RUN, combination_name, label_columns
from piebench_eval.tables.combined import put_together, told_apart
from piebench_eval.tables.score_table import score_table_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from piebench_eval.data.sample import Sample
    from piebench_eval.report.origin import Cost, Origin
    from piebench_eval.report.parts import ScoredPart
    from piebench_eval.runs.store.folder import RunStore
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.tables.score_table import ScoreTable


@dataclass(frozen=True)
class Combination:
    """A row of the table of means.

    Attributes:
        name: ``inversion+method``, or the name of a folder or of a row that no edit made; behind the run and
            a slash, where several runs have it.
        method: label.
        inversion: label; empty for a folder, and for a row that no edit made.
        loader: how sources were loaded for its pictures.
        run: what tells it from a combination of the same labels; empty where nothing has to.
        of_folder: whether its pictures are anybody's, and not a run's.
    """

    name: str
    method: str
    inversion: str
    loader: ImageLoader = "crop"
    run: str = ""
    of_folder: bool = False

    @property
    def is_edit(self) -> bool:
        """Whether a method made its pictures: not the ideal edits or the untouched sources."""
        return self.is_of_run or self.of_folder

    @property
    def is_of_run(self) -> bool:
        """Whether a run made its pictures, and keeps them in the benchmark's layout."""
        return bool(self.inversion)


@dataclass(frozen=True)
class ScoredRun:
    """Scored runs and folders, as one report shows them.

    Attributes:
        folder: the run folder; of several, what the first of them was named.
        source: the scores, all of them labelled by method and inversion.
        samples: those that have scores, in the benchmark's order.
        combinations: those that have scores, in Table 1's order.
        pictures: the file of every edit that is there, by combination's name and sample id.
        unscored: how many finished pictures the scores know nothing of.
        anybodys: the pictures that are no run's, by the same, for they may be strips or of another size.
        title: what the page is called; the folder's name if empty.
        origins: what made the edits and the scores, one for each run or folder.
        costs: what an edit took, by combination's name, as far as it is known.
    """

    folder: Path
    source: ScoreTable
    samples: list[Sample]
    combinations: list[Combination]
    pictures: Mapping[tuple[str, str], Path]
    unscored: int
    anybodys: Mapping[tuple[str, str], EditedImage] = field(default_factory=dict)
    title: str = ""
    origins: Sequence[Origin] = ()
    costs: Mapping[str, Cost] = field(default_factory=dict)

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
        return len(_scored_pairs(self.source.rows) - set(self.pictures))

    def rows_of(self, combination: Combination) -> pd.DataFrame:
        """The scores of a combination."""
        rows = self.source.rows
        wanted = (rows["method"] == combination.method) & (rows["inversion"] == combination.inversion)
        return rows[wanted & (rows[RUN] == combination.run)] if RUN in rows.columns else rows[wanted]


def read_scored_run(store: RunStore, data: Path | None = None) -> ScoredRun:
    """Find a run's scores, samples and pictures.

    Args:
        store: the run.
        data: the benchmark folder, if it is no longer where the run found it.

    Raises:
        PiebenchError: it is not scored, its scores cannot be used, or its benchmark is gone.
    """
    return _together([read_run(store, data)])


def read_scored(places: Sequence[Path], data: Path | None = None) -> ScoredRun:
    """Find scores, samples and pictures of runs and scored folders, for one report.

    Args:
        places: run folders and scores files; one at least.
        data: their benchmark folder, if it is no longer where they found it.

    Raises:
        PiebenchError: one of them is not scored, its scores cannot be used or not together with others', or
            its pictures or its benchmark are gone.
    """
    return _together([read_scored_part(place, data) for place in places])


def _together(parts: Sequence[ScoredPart]) -> ScoredRun:
    several = len(parts) > 1
    marked = told_apart([part.scores for part in parts]) if several else [parts[0].scores]
    rows, about = put_together(marked) if several else (marked[0].rows, marked[0].about)
    if "method" not in rows.columns:
        rows = rows.assign(method=rows["name"], inversion="").drop(columns="name")
    source = score_table_of(rows, about, None)
    named = [_by_name(part, of_part.rows) for part, of_part in zip(parts, marked, strict=True)]
    edited_images = {pair: each for of_part in named for pair, each in of_part.items()}
    return ScoredRun(
        folder=parts[0].folder,
        source=source,
        samples=_scored_samples(parts, set(source.rows["id"])),
        combinations=_combinations(source, edited_images),
        pictures={pair: each.file for pair, each in edited_images.items()},
        # A choice of editing types leaves rows out on purpose.
        unscored=0 if source.rules.types else sum(map(_unscored, parts)),
        anybodys={pair: each for pair, each in edited_images.items() if "name" in each.labels},
        title=", ".join(part.origin.label for part in parts),
        origins=[part.origin for part in parts],
        costs={
            names[labels]: cost
            for part, of_part in zip(parts, marked, strict=True)
            for names in [_names(of_part.rows)]
            for labels, cost in part.costs.items()
            if labels in names
        },
    )


def _labels_of(row: Mapping[Any, Any]) -> tuple[str, str]:
    """Inversion and method; a folder's name is its method."""
    return str(row.get("inversion", "")), str(row.get("method") or row.get("name"))


def _names(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """What the report calls the combinations of scores, by inversion and method."""
    labels = label_columns(rows)
    return {
        _labels_of(row): combination_name(row, labels)
        for row in rows[labels].drop_duplicates().to_dict(orient="records")
    }


def _by_name(part: ScoredPart, rows: pd.DataFrame) -> dict[tuple[str, str], EditedImage]:
    """A part's pictures by what the report calls their combinations, and sample id.

    Those of combinations without scores are left out, and so are reference rows that an earlier part has.
    """
    names = _names(rows)
    return {
        (names[labels], edited_image.sample.id): edited_image
        for edited_image in part.edited_images
        if (labels := _labels_of(edited_image.labels)) in names
    }


def _unscored(part: ScoredPart) -> int:
    """How many of a part's pictures its scores know nothing of."""
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
    source: ScoreTable, edited_images: Mapping[tuple[str, str], EditedImage]
) -> list[Combination]:
    one_of = {name: edited_image for (name, _), edited_image in edited_images.items()}
    labels = label_columns(source.means)
    found = []
    for row in source.means.to_dict(orient="records"):
        name = combination_name(row, labels)
        edited_image = one_of.get(name)
        found.append(
            Combination(
                name=name,
                method=str(row["method"]),
                inversion=str(row["inversion"]),
                loader=(edited_image.loader if edited_image else "crop") or WHOLE,
                run=str(row.get(RUN, "")),
                of_folder=edited_image is not None and "name" in edited_image.labels,
            )
        )
    return found


def _scored_samples(parts: Iterable[ScoredPart], scored: set[str]) -> list[Sample]:
    samples: dict[str, Sample] = {}
    for part in parts:
        own = {edited_image.sample.id: edited_image.sample for edited_image in part.edited_images}
        if unknown := sorted(set(part.scores.rows["id"]) - set(own)):
            raise PiebenchError(
                f"{part.scores_file}: column id: {part.kind} has no picture of {unknown[0]}; run piebench "
                "score again"
            )
        for sample_id, sample in own.items():
            if _asked(samples.setdefault(sample_id, sample)) != _asked(sample):
                raise PiebenchError(
                    f"{part.scores.place}: its sample {sample_id} is another one than the others' (prompts, "
                    "mask or editing type), so they are of different benchmarks; report them apart"
                )
    return [sample for sample_id, sample in samples.items() if sample_id in scored]


def _asked(sample: Sample) -> tuple[object, ...]:
    """What an edit of a sample is judged by, wherever its picture lies."""
    return (
        sample.marked_source_prompt,
        sample.marked_target_prompt,
        sample.type_id,
        sample.mask_rle,
    )

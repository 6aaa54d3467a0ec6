"""How the page finds full pictures: the run's own by relative path, any others as copies in the report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from piebench_eval.report import paths

if TYPE_CHECKING:
    from piebench_eval.data.sample import Sample
    from piebench_eval.report.run import Combination, ScoredRun


@dataclass(frozen=True)
class Link:
    """Where the full pictures of a combination are, seen from the report folder.

    Attributes:
        folder: a URL; a picture is ``<folder>/<path of the sample><suffix>``.
        suffix: of the run's own pictures; None for copies, which are named by the sample's place.
    """

    folder: str
    suffix: str | None

    def to_json(self) -> dict[str, str | None]:
        """As the page's script takes it."""
        return {"folder": self.folder, "suffix": self.suffix}

    def to(self, sample: Sample, number: int) -> str:
        """The picture of a sample, by its place among the report's samples."""
        if self.suffix is None:
            return f"{self.folder}/{number}{paths.PICTURE_SUFFIX}"
        return f"{self.folder}/{sample_path(sample)}{self.suffix}"


def links_of(run: ScoredRun, report: Path) -> list[Link]:
    """A link per combination of a run.

    Args:
        run: the scored run.
        report: the report folder, as it will be called.
    """
    return [_link(run, number, each, report) for number, each in enumerate(run.combinations)]


def sample_path(sample: Sample) -> str:
    """A sample's path in the benchmark without its suffix, as a URL."""
    return _url(str(Path(sample.image_path).with_suffix("")))


def _link(run: ScoredRun, number: int, combination: Combination, report: Path) -> Link:
    for sample in run.samples:
        file = run.pictures.get((combination.name, sample.id))
        if combination.is_of_run and file is not None:
            folder = file.parents[len(Path(sample.image_path).parts) - 1]
            return Link(_url(os.path.relpath(folder.resolve(), report.resolve())), file.suffix)
    return Link(f"{paths.COPIES}/{number}", None)


def _url(path: str) -> str:
    return quote(os.fsencode(Path(path).as_posix()), safe="/+")

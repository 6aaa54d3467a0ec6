"""Links to full-size images: a run's by relative path, a folder's to copies in the report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from piebench_eval.report import paths

if TYPE_CHECKING:
    from piebench_eval.data.sample import Sample
    from piebench_eval.report.content import ReportCombination, ReportContent


@dataclass(frozen=True)
class Link:
    """Where a combination's full-size images are, relative to the report folder.

    Attributes:
        folder: a URL; an image is ``<folder>/<path of the sample><suffix>``.
        suffix: of the run's images; None for copies, which are named by the sample's index.
    """

    folder: str
    suffix: str | None

    def to_json(self) -> dict[str, str | None]:
        """The link as the page's script reads it."""
        return {"folder": self.folder, "suffix": self.suffix}

    def to(self, sample: Sample, number: int) -> str:
        """URL of a sample's image; ``number`` is its index among the report's samples."""
        if self.suffix is None:
            return f"{self.folder}/{number}{paths.PICTURE_SUFFIX}"
        return f"{self.folder}/{sample_path(sample)}{self.suffix}"


def links_of(content: ReportContent, report: Path) -> list[Link]:
    """One link per combination.

    Args:
        content: what the report shows.
        report: the final path of the report folder.
    """
    return [_link(content, number, each, report) for number, each in enumerate(content.combinations)]


def sample_path(sample: Sample) -> str:
    """A sample's path in the benchmark without its suffix, as a URL."""
    return _url(str(Path(sample.image_path).with_suffix("")))


def _link(content: ReportContent, number: int, combination: ReportCombination, report: Path) -> Link:
    for sample in content.samples:
        file = content.pictures.get((combination.name, sample.id))
        if combination.is_of_run and file is not None:
            folder = file.parents[len(Path(sample.image_path).parts) - 1]
            return Link(_url(os.path.relpath(folder.resolve(), report.resolve())), file.suffix)
    return Link(f"{paths.COPIES}/{number}", None)


def _url(path: str) -> str:
    return quote(os.fsencode(Path(path).as_posix()), safe="/+")

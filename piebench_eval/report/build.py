"""Build a report folder: page, data and images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.report import paths
from piebench_eval.report.data import page_data, to_data_script
from piebench_eval.report.folder import report_folder
from piebench_eval.report.links import links_of
from piebench_eval.report.means import downloads
from piebench_eval.report.page import plotting_library, to_page, to_script
from piebench_eval.report.thumbnails import make_pictures, thumbnail_jobs
from piebench_eval.tables.aggregate import omission_remarks
from piebench_eval.tables.remarks import score_remarks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from piebench_eval.report.content import ReportContent
    from piebench_eval.report.links import Link


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        page: the file to open.
        samples: number of samples.
        combinations: number of combinations.
        pictures: number of thumbnails.
        page_bytes: size without images: HTML, script, data and the plotting library.
    """

    page: Path
    samples: int
    combinations: int
    pictures: int
    page_bytes: int


def build_report(
    content: ReportContent,
    folder: Path,
    notices: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write a report atomically.

    Args:
        content: what the report shows.
        folder: the report folder; an older report there is replaced.
        notices: remarks to put before those on the scores.
        on_progress: called with the numbers of finished and of all images.

    Raises:
        PiebenchError: the folder holds something else, or an image is missing or damaged.
    """
    remarks = [*notices, *_remarks(content)]
    jobs = thumbnail_jobs(content)
    with report_folder(folder) as partial:
        page_bytes = write_page(content, links_of(content, folder), remarks, partial)
        for name, data in downloads(content, remarks).items():
            (partial / name).write_bytes(data)
        make_pictures(jobs, partial, on_progress)
    return Report(folder / paths.PAGE, len(content.samples), len(content.combinations), len(jobs), page_bytes)


def write_page(content: ReportContent, links: Sequence[Link], remarks: Sequence[str], folder: Path) -> int:
    """Write everything but the images.

    Args:
        content: what the report shows.
        links: links to the images of each combination.
        remarks: remarks on the scores.
        folder: where to write.

    Returns:
        The number of bytes written.
    """
    contents = {
        # A folder's name may hold bytes that are not valid UTF-8.
        paths.PAGE: to_page(content, remarks).encode("utf-8", errors="replace"),
        paths.DATA: to_data_script("REPORT", page_data(content, links)).encode("ascii"),
        paths.SCRIPT: to_script().encode("utf-8"),
        **plotting_library(),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return sum(map(len, contents.values()))


def _remarks(content: ReportContent) -> list[str]:
    score_table = content.score_table
    remarks = [
        *score_remarks(score_table.rows, score_table.provenance, score_table.rules),
        *omission_remarks(score_table.means),
    ]
    for number, one, many in (
        (
            content.unscored,
            "picture is not scored yet and not shown",
            "pictures are not scored yet and not shown",
        ),
        (content.gone, "picture is gone since it was scored", "pictures are gone since they were scored"),
    ):
        if number:
            remarks.append(
                f"{number} {one if number == 1 else many}; run piebench run and piebench score again"
            )
    return remarks

"""Build a report folder: the page, its data and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from piebench_eval.report import paths
from piebench_eval.report.data import page_data
from piebench_eval.report.embed import to_script as data_script
from piebench_eval.report.folder import report_folder
from piebench_eval.report.links import links_of
from piebench_eval.report.means import downloads
from piebench_eval.report.page import to_page, to_script
from piebench_eval.report.thumbnails import make_pictures, work_of
from piebench_eval.tables.aggregate import left_out
from piebench_eval.tables.remarks import remarks_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from piebench_eval.report.links import Link
    from piebench_eval.report.run import ScoredRun


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        page: the file to open.
        samples: how many it shows.
        combinations: how many it shows.
        pictures: thumbnails in it.
        page_bytes: what the page weighs without pictures: HTML, script, data and the plotting library.
    """

    page: Path
    samples: int
    combinations: int
    pictures: int
    page_bytes: int


def build_report(
    run: ScoredRun,
    folder: Path,
    notices: Sequence[str] = (),
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write a run's report, whole or not at all.

    Args:
        run: the scored run.
        folder: where to; an older report there is replaced.
        notices: remarks that stand before those on the scores.
        tell: called with how many pictures are done, and how many there are.

    Raises:
        PiebenchError: the folder holds something else, or a picture is missing or damaged.
    """
    remarks = [*notices, *_remarks(run)]
    work = work_of(run)
    with report_folder(folder) as partial:
        page_bytes = write_page(run, links_of(run, folder), remarks, partial)
        for name, content in downloads(run, remarks).items():
            (partial / name).write_bytes(content)
        make_pictures(work, partial, tell)
    return Report(folder / paths.PAGE, len(run.samples), len(run.combinations), len(work), page_bytes)


def write_page(run: ScoredRun, links: Sequence[Link], remarks: Sequence[str], folder: Path) -> int:
    """Write everything but pictures.

    Args:
        run: the scored run.
        links: where the pictures of each combination are.
        remarks: what a reader must know of the scores.
        folder: where to.

    Returns:
        How many bytes it is.
    """
    vendor = files("piebench_eval.report") / "vendor"
    contents = {
        # A folder's name may hold bytes that are no text.
        paths.PAGE: to_page(run, remarks).encode("utf-8", errors="replace"),
        paths.DATA: data_script("REPORT", page_data(run, links)).encode("ascii"),
        paths.SCRIPT: to_script().encode("utf-8"),
        paths.PLOTLY: vendor.joinpath(paths.PLOTLY).read_bytes(),
        paths.PLOTLY_LICENCE: vendor.joinpath(paths.PLOTLY_LICENCE).read_bytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return sum(map(len, contents.values()))


def _remarks(run: ScoredRun) -> list[str]:
    source = run.source
    remarks = [*remarks_on(source.rows, source.about, source.rules), *left_out(source.means)]
    for number, one, many in (
        (
            run.unscored,
            "picture is not scored yet and not shown",
            "pictures are not scored yet and not shown",
        ),
        (run.gone, "picture is gone since it was scored", "pictures are gone since they were scored"),
    ):
        if number:
            remarks.append(
                f"{number} {one if number == 1 else many}; run piebench run and piebench score again"
            )
    return remarks

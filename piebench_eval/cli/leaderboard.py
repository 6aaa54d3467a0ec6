"""``piebench leaderboard``: the rows that papers print, and one's own among them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piebench_eval.api.arguments import names
from piebench_eval.cli.console import out
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from piebench_eval.leaderboard.filters import Filters

_WHICH = "Which published rows"
_FOLDER = Path("piebench-leaderboard")


class LeaderboardFormat(StrEnum):
    """How a leaderboard is printed."""

    table = "table"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"
    json = "json"
    html = "html"


def leaderboard(
    model: Annotated[
        str | None,
        typer.Option(
            help="Part of a model's name, such as SD3.5, or a family: sd1, sd2, sdxl, sd3, flux, qwen, "
            "autoregressive; several with commas.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Means of so many pictures: 700, or 620 without style.", rich_help_panel=_WHICH),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Masks that editors were given: none (no use of masks is known), predicted, benchmark.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    read_from: Annotated[
        str | None,
        typer.Option(
            help="Where the rows were read: paper, readme, notes (at second hand); several with commas.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    since: Annotated[
        int | None, typer.Option(help="First year of publication.", rich_help_panel=_WHICH)
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC",
            help="Sort by it, best first: structure_distance, psnr, lpips, mse, ssim, clip_whole, clip_edit. "
            "By default by family and model.",
        ),
    ] = None,
    own: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            help="Your own scored run or scores file, to stand among them; give it again for more.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        LeaderboardFormat, typer.Option("--format", help="How to print it; html writes a page.")
    ] = LeaderboardFormat.table,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help=f"With --format html: where to write the page; by default {_FOLDER}. An older leaderboard "
            "there is replaced, nothing else.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the rows that papers print of PIE-Bench, each with its source.

    Rows of the same method on the same model from several sources stand
    together, followed by the lowest, median and highest of their means: how
    far one and the same baseline differs is part of what they tell. Nothing is
    averaged.

    With --with, your own scored rows stand among them, marked as measured
    here, with their 95% intervals. Published means of the same combination,
    model and settings that lie inside an interval are marked, where the
    scores were made under the published conditions.

    Examples:

      piebench leaderboard --model flux --images 700 --masks none

      piebench leaderboard --since 2025 --read-from paper,readme --sort psnr

      piebench leaderboard --with runs/x --with mine.csv --format markdown

      piebench leaderboard --format html --out board
    """
    from piebench_eval.leaderboard.filters import Filters

    if out_folder is not None and output is not LeaderboardFormat.html:
        raise PiebenchError("--out: goes with --format html; send other formats to a file with >")
    filters = Filters(names(model) or (), images, masks, names(read_from) or (), since)
    _print_board(filters, sort, own or [], output, out_folder or _FOLDER)


def _print_board(
    filters: Filters, sort: str | None, own: list[Path], output: LeaderboardFormat, folder: Path
) -> None:
    from piebench_eval.api.tabulating import load_scores
    from piebench_eval.cli.table import TableFormat, print_view
    from piebench_eval.leaderboard.board import make_board
    from piebench_eval.leaderboard.page import write_board
    from piebench_eval.leaderboard.view import board_view
    from piebench_eval.tables.layout import TABLE_METRICS

    board = make_board(filters, sort, load_scores(own) if own else None)
    if output is LeaderboardFormat.html:
        page = write_board(board, folder)
        out.print(f"{len(board.entries)} rows")
        out.print(f"Open: {page}")
        return
    exact = output in (LeaderboardFormat.csv, LeaderboardFormat.json)
    view = board_view(board.groups, board.remarks, exact)
    print_view(view, TableFormat(output.value), {metric.key: metric.title for metric in TABLE_METRICS})

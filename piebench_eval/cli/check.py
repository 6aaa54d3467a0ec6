"""``piebench check``: compare a run's means with a baseline, for continuous integration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.cli.console import err, out
from piebench_eval.cli.grid import print_grid
from piebench_eval.cli.scoring_options import MovedDataOption
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.gate.baselines import Baseline
    from piebench_eval.gate.comparison import ComparedCell
    from piebench_eval.tables.score_table import ScoreTable

_REPORTS = "Reports"
_SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def check(
    result: Annotated[
        Path, typer.Argument(metavar="RUN|SCORES", help="Scored run folder, or a scores file.")
    ],
    baseline: Annotated[
        Path,
        typer.Option(help="Table of means to compare with, a CSV file with its JSON file beside it."),
    ],
    tolerances: Annotated[
        Path | None,
        typer.Option(
            help="YAML file: largest allowed difference of each metric; by default tolerances.yaml beside "
            "the baseline.",
            show_default=False,
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Make the run's means the baseline instead of comparing.")
    ] = False,
    data: MovedDataOption = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            help="JUnit XML file: a test case per combination and metric.",
            show_default=False,
            rich_help_panel=_REPORTS,
        ),
    ] = None,
    github_summary: Annotated[
        bool,
        typer.Option(
            "--github-summary",
            help=f"Append the result to the job's summary page, the file in ${_SUMMARY_VARIABLE}.",
            rich_help_panel=_REPORTS,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every cell as JSON.", rich_help_panel=_REPORTS)
    ] = False,
) -> None:
    """Compare a run's means with a baseline, for continuous integration.

    A mean fails if it differs by more than its metric's tolerance. The images
    are the same, so the 95% intervals, which say how a mean would vary over
    other images, are shown and decide nothing. Exit code 0: all hold; 1: a
    mean differs too much, or is missing; 2: recipe, samples, networks or
    protocol are not the baseline's, and the differences are listed. Batch
    sizes, shards, devices and engines may differ.

    Examples:

      piebench check runs/x --baseline results/baselines/x.csv

      piebench check runs/x --baseline results/baselines/x.csv --junit gate.xml --github-summary

      piebench check runs/x --baseline results/baselines/x.csv --update
    """
    from piebench_eval.gate.conditions import conditions_of
    from piebench_eval.runs.store.paths import scores_file_of
    from piebench_eval.scoring.scores_file import provenance_file
    from piebench_eval.tables.score_table import read_score_table

    if update and (junit or github_summary or tolerances):
        raise PiebenchError("--update compares nothing: leave out --tolerances, --junit and --github-summary")
    summary_page = _summary_page() if github_summary else None
    file = scores_file_of(result)
    if baseline.suffix != ".csv" or baseline.resolve() == file.resolve():
        raise PiebenchError(
            f"--baseline {baseline}: name a CSV file that is not the scores; its JSON file lies beside it"
        )
    if update:
        score_table = read_score_table(file, provenance_file(file), None)
        _update(baseline, score_table, conditions_of(result, score_table, data), as_json)
        return
    expected, allowed = _read(baseline, tolerances)
    score_table = read_score_table(file, provenance_file(file), None)
    cells, remarks = _compare(
        result, score_table, conditions_of(result, score_table, data), baseline, expected, allowed
    )
    _report(cells, remarks, f"{result} against {baseline}", junit, summary_page, as_json)


def _read(file: Path, tolerances: Path | None) -> tuple[Baseline, dict[str, float]]:
    from piebench_eval.gate.baselines import TOLERANCES_FILE, read_baseline, read_tolerances
    from piebench_eval.gate.comparison import metric_keys

    baseline = read_baseline(file)
    path = tolerances or file.with_name(TOLERANCES_FILE)
    return baseline, read_tolerances(path, metric_keys(baseline.table))


def _summary_page() -> Path:
    path = os.environ.get(_SUMMARY_VARIABLE)
    if not path:
        raise PiebenchError(
            f"--github-summary: ${_SUMMARY_VARIABLE} is not set; GitHub sets it in the steps of a job, "
            "elsewhere leave the option out"
        )
    return Path(path)


def _compare(
    result: Path,
    score_table: ScoreTable,
    conditions: dict[str, Any],
    file: Path,
    baseline: Baseline,
    tolerances: dict[str, float],
) -> tuple[list[ComparedCell], list[str]]:
    """Compare the baseline's cells, with remarks.

    Raises:
        PiebenchError: the conditions differ, or no combination is shared.
    """
    from piebench_eval.gate.comparison import compare
    from piebench_eval.gate.conditions import differences, other_versions

    obstacles = differences(baseline.conditions, conditions)
    cells = compare(score_table.means, baseline.table, tolerances)
    if all(cell.row_is_missing for cell in cells):
        obstacles.append("combinations: they share none")
    if obstacles:
        raise PiebenchError(
            f"{result} cannot be compared with {file}. Differences (baseline -> run):\n"
            + "\n".join(f"  {line}" for line in obstacles)
            + "\nrun and score as the baseline was, or make a new baseline with --update"
        )
    remarks = [
        f"other version than the baseline's: {line}"
        for line in other_versions(baseline.conditions, conditions)
    ]
    if conditions["samples"]["fingerprint"] is None:
        remarks.append("a scores file names its samples only by id: --data DIR compares the pictures too")
    return cells, remarks


def _report(
    cells: Sequence[ComparedCell],
    remarks: Sequence[str],
    title: str,
    junit: Path | None,
    summary_page: Path | None,
    as_json: bool,
) -> None:
    """Write the reports, print the result, and exit with 1 if a cell failed."""
    from piebench_eval.files import append_line, write_whole
    from piebench_eval.gate.comparison import failures
    from piebench_eval.gate.report import moved_table, to_junit, to_markdown, to_records, verdict

    if junit is not None:
        write_whole(junit, to_junit(cells, f"piebench check {title}"))
    if summary_page is not None:
        append_line(summary_page, to_markdown(cells, title, remarks) + "\n")
    failed = failures(cells)
    if as_json:
        records = {"passed": not failed, "cells": to_records(cells), "remarks": list(remarks)}
        out.print_json(data=records)
    else:
        if not (moved := moved_table(cells)).empty:
            print_grid(moved, {})
        out.print(verdict(cells), markup=False)
        for remark in remarks:
            out.print(f"- {remark}", markup=False)
    for line in failed:
        err.print(line, markup=False)
    if failed:
        raise typer.Exit(1)


def _update(file: Path, score_table: ScoreTable, conditions: dict[str, Any], as_json: bool) -> None:
    """Write the baseline, and print how it differs from the one it replaces."""
    from piebench_eval.gate.baselines import write_baseline

    changes = _changes(file, score_table, conditions) if file.exists() else []
    write_baseline(file, score_table.labelled(score_table.means), conditions)
    if as_json:
        out.print_json(data={"baseline": str(file), "rows": len(score_table.means), "changes": changes})
        return
    for line in changes:
        out.print(f"- {line}", markup=False)
    out.print(f"{len(score_table.means)} rows in {file}", markup=False)


def _changes(file: Path, score_table: ScoreTable, conditions: dict[str, Any]) -> list[str]:
    from piebench_eval.gate.baselines import read_baseline
    from piebench_eval.gate.comparison import compare, metric_keys
    from piebench_eval.gate.conditions import differences

    try:
        old = read_baseline(file)
    except PiebenchError as error:
        return [f"replaces an unusable baseline: {error}"]
    cells = compare(score_table.means, old.table, dict.fromkeys(metric_keys(old.table), 0.0))
    moved = [cell.line.partition(", at most")[0] for cell in cells if cell.moved and cell.failed]
    return [*differences(old.conditions, conditions), *dict.fromkeys(moved)]

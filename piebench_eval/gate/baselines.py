"""Read and write baselines (a table of means, and a JSON file with its conditions) and tolerances."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_json_object, read_yaml_mapping, write_whole
from piebench_eval.gate.comparison import metric_keys
from piebench_eval.gate.conditions import CONDITION_FIELDS
from piebench_eval.scoring.scores_file import provenance_file
from piebench_eval.tables.aggregate import read_table
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.scores import combination_name, label_columns
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOLERANCES_FILE = "tolerances.yaml"

_REMEDY = "restore it, or make it again with piebench check RUN --update --baseline"


@dataclass(frozen=True)
class Baseline:
    """The means to compare with.

    Attributes:
        table: a row per combination, as ``table.csv`` holds it.
        conditions: see ``conditions_of``.
    """

    table: pd.DataFrame
    conditions: dict[str, Any]


def read_baseline(file: Path) -> Baseline:
    """Read a baseline and its JSON file, and check that they match.

    Raises:
        PiebenchError: one of them is missing or damaged, or they do not match.
    """
    remedy = f"{_REMEDY} {file}"
    if not file.is_file():
        raise PiebenchError(f"--baseline {file}: no such file; make it with piebench check RUN --update")
    beside = provenance_file(file)
    conditions = read_json_object(beside, CONDITION_FIELDS | {"table_sha256"}, remedy)
    if problem := _shape_problem(conditions):
        raise PiebenchError(f"{beside}: {problem}; {remedy}")
    if conditions["table_sha256"] != _digest(_read_text(file, remedy)):
        raise PiebenchError(f"{file}: is not the table that {beside.name} describes; {remedy}")
    try:
        table = read_table(file)
    except (ValueError, pd.errors.ParserError) as error:
        raise PiebenchError(f"{file}: is no table of means ({error}); {remedy}") from None
    if problem := _table_problem(table, conditions):
        raise PiebenchError(f"{file}: {problem}; {remedy}")
    return Baseline(table, conditions)


def write_baseline(file: Path, table: pd.DataFrame, conditions: dict[str, Any]) -> None:
    """Write a baseline and its JSON file, each atomically; ``read_baseline`` detects a crash between the two.

    Raises:
        PiebenchError: the files are no baseline's, the disk is full, or the folder cannot be written to.
    """
    _refuse_other_files(file)
    text = to_text(table, "csv")
    made = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "piebench_eval": __version__}
    content = {**made, "table_sha256": _digest(text), **conditions}
    write_whole(file, text.encode())
    write_whole(provenance_file(file), (json.dumps(content, indent=1) + "\n").encode())


def read_tolerances(file: Path, metrics: Sequence[str]) -> dict[str, float]:
    """Read the largest allowed difference of each metric, in its printed unit.

    Args:
        file: YAML, ``metric: number``.
        metrics: the required metrics.

    Raises:
        PiebenchError: the file cannot be used, or lacks a metric.
    """
    content = read_yaml_mapping(file, "write 'psnr: 0.1' and so on there, or give --tolerances")
    for metric, tolerance in content.items():
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0:
            raise PiebenchError(f"{file}: {metric}: {tolerance!r} is no tolerance; write a number from 0")
        if math.isinf(tolerance):
            raise PiebenchError(f"{file}: {metric}: allows everything; write a finite number")
    if lacking := [metric for metric in metrics if metric not in content]:
        raise PiebenchError(f"{file}: {', '.join(lacking)}: is missing; say how far it may move")
    return {metric: float(content[metric]) for metric in metrics}


def _refuse_other_files(file: Path) -> None:
    """Refuse to overwrite a file whose JSON file is not a baseline's, such as scores."""
    try:
        content = json.loads(provenance_file(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(content, dict) and "table_sha256" not in content:
        raise PiebenchError(
            f"{file}: {provenance_file(file).name} describes no baseline; choose another name"
        )


def _read_text(file: Path, remedy: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PiebenchError(f"{file}: cannot be read ({error}); {remedy}") from None


def _digest(text: str) -> str:
    """SHA-256 of a table's text, independent of line ends, which version control may change."""
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def _shape_problem(conditions: dict[str, Any]) -> str | None:
    """What is wrong with the structure of the conditions in a file, if anything."""
    objects = ("recipe", "models", "samples", "networks", "protocol", "versions")
    if wrong := [part for part in objects if not isinstance(conditions[part], dict)]:
        return f"{wrong[0]}: must be an object"
    inner: tuple[tuple[str, str, type], ...] = (
        ("recipe", "combinations", dict),
        ("samples", "ids", list),
        ("samples", "fingerprint", object),
        ("protocol", "rules", dict),
    )
    for part, field, kind in inner:
        if field not in conditions[part] or not isinstance(conditions[part][field], kind):
            return f"{part}.{field}: is missing, or something else"
    if not all(isinstance(settings, dict) for settings in conditions["recipe"]["combinations"].values()):
        return "recipe.combinations: must hold an object of settings each"
    return None


def _table_problem(table: pd.DataFrame, conditions: dict[str, Any]) -> str | None:
    """What is wrong with a table of means, given its conditions, if anything."""
    labels, metrics = label_columns(table), metric_keys(table)
    if not labels or not metrics or table.empty:
        return "has no rows with method and inversion, or name, and a metric"
    for key in metrics:
        if not pd.api.types.is_numeric_dtype(table[key]):
            return f"column {key}: holds something that is no number"
    names = [combination_name(row, labels) for _, row in table.iterrows()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"{', '.join(twice)}: occurs twice"
    if lacking := sorted(conditions["recipe"]["combinations"].keys() - set(names)):
        return f"lacks {', '.join(lacking)}"
    return None

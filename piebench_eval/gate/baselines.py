"""Baselines and tolerances on disk: a table of means, and beside it a JSON file that says what made it."""

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
from piebench_eval.gate.origin import ORIGIN_PARTS
from piebench_eval.scoring.scores_file import provenance_file
from piebench_eval.tables.aggregate import combination_name, label_columns, read_table
from piebench_eval.tables.formats.text import to_text
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOLERANCES_FILE = "tolerances.yaml"

_REMEDY = "restore it, or make it again with piebench check RUN --update --baseline"


@dataclass(frozen=True)
class Baseline:
    """Means that are to hold.

    Attributes:
        table: a row per combination, as ``table.csv`` holds it.
        origin: what they rest on, see ``origin_of``.
    """

    table: pd.DataFrame
    origin: dict[str, Any]


def read_baseline(file: Path) -> Baseline:
    """Read a baseline and its JSON file, and check that they belong together.

    Raises:
        PiebenchError: one of them is missing or damaged, or they are of two baselines.
    """
    remedy = f"{_REMEDY} {file}"
    if not file.is_file():
        raise PiebenchError(f"--baseline {file}: no such file; make it with piebench check RUN --update")
    beside = provenance_file(file)
    origin = read_json_object(beside, ORIGIN_PARTS | {"table_sha256"}, remedy)
    if problem := _shape_problem(origin):
        raise PiebenchError(f"{beside}: {problem}; {remedy}")
    if origin["table_sha256"] != _digest(_read_text(file, remedy)):
        raise PiebenchError(f"{file}: is not the table that {beside.name} describes; {remedy}")
    try:
        table = read_table(file)
    except (ValueError, pd.errors.ParserError) as error:
        raise PiebenchError(f"{file}: is no table of means ({error}); {remedy}") from None
    if problem := _table_problem(table, origin):
        raise PiebenchError(f"{file}: {problem}; {remedy}")
    return Baseline(table, origin)


def write_baseline(file: Path, table: pd.DataFrame, origin: dict[str, Any]) -> None:
    """Write a baseline and its JSON file, each whole. A crash between the two is found by ``read_baseline``.

    Raises:
        PiebenchError: the name is something else's, the disk is full, or the folder cannot be written to.
    """
    _refuse_other_files(file)
    text = to_text(table, "csv")
    made = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "piebench_eval": __version__}
    about = {**made, "table_sha256": _digest(text), **origin}
    write_whole(file, text.encode())
    write_whole(provenance_file(file), (json.dumps(about, indent=1) + "\n").encode())


def read_tolerances(file: Path, metrics: Sequence[str]) -> dict[str, float]:
    """Read how far each metric may move, in its printed unit.

    Args:
        file: YAML, ``metric: number``.
        metrics: those that must be there.

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
    """Keep what lies under a baseline's name, if it says that it is something else, such as scores."""
    try:
        about = json.loads(provenance_file(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(about, dict) and "table_sha256" not in about:
        raise PiebenchError(
            f"{file}: {provenance_file(file).name} describes no baseline; choose another name"
        )


def _read_text(file: Path, remedy: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PiebenchError(f"{file}: cannot be read ({error}); {remedy}") from None


def _digest(text: str) -> str:
    """Of a table, whatever line ends a version control system has given it."""
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def _shape_problem(origin: dict[str, Any]) -> str | None:
    """What is wrong with the shape of an origin that was read from a file."""
    objects = ("recipe", "models", "samples", "networks", "protocol", "versions")
    if wrong := [part for part in objects if not isinstance(origin[part], dict)]:
        return f"{wrong[0]}: must be an object"
    inner: tuple[tuple[str, str, type], ...] = (
        ("recipe", "combinations", dict),
        ("samples", "ids", list),
        ("samples", "fingerprint", object),
        ("protocol", "rules", dict),
    )
    for part, field, kind in inner:
        if field not in origin[part] or not isinstance(origin[part][field], kind):
            return f"{part}.{field}: is missing, or something else"
    if not all(isinstance(settings, dict) for settings in origin["recipe"]["combinations"].values()):
        return "recipe.combinations: must hold an object of settings each"
    return None


def _table_problem(table: pd.DataFrame, origin: dict[str, Any]) -> str | None:
    """What is wrong with a table of means, also in the light of what is known of it."""
    labels, metrics = label_columns(table), metric_keys(table)
    if not labels or not metrics or table.empty:
        return "has no rows with method and inversion, or name, and a metric"
    for key in metrics:
        if not pd.api.types.is_numeric_dtype(table[key]):
            return f"column {key}: holds something that is no number"
    names = [combination_name(row, labels) for _, row in table.iterrows()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"{', '.join(twice)}: stands there twice"
    if lacking := sorted(origin["recipe"]["combinations"].keys() - set(names)):
        return f"lacks {', '.join(lacking)}"
    return None

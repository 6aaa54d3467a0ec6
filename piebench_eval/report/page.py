"""The page's HTML: everything that is readable without a script."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from piebench_eval import __version__
from piebench_eval.metrics import METRICS
from piebench_eval.report import places

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from piebench_eval.report.run import ScoredRun
    from piebench_eval.tables.layout import TableMetric

_SCRIPTS = ("model", "state", "elements", "means", "tradeoff", "types", "gallery", "sample", "main")
"""Files of ``assets/js`` in the order in which they build on each other."""

_DECIMALS = 2


@dataclass(frozen=True)
class Cell:
    """A cell of the table of means.

    Attributes:
        text: the mean.
        number: the mean with all digits, to sort by; empty for nan.
        title: its interval and how many values it rests on.
    """

    text: str
    number: str
    title: str


def to_page(run: ScoredRun, remarks: Sequence[str]) -> str:
    """Write the page.

    Args:
        run: the scored run.
        remarks: what a reader must know of the scores.
    """
    metrics = run.source.metrics(every=False)
    means = run.source.means.to_dict(orient="records")
    return _template().render(
        title=run.folder.resolve().name,
        version=__version__,
        samples=len(run.samples),
        combinations=run.combinations,
        metrics=[_heading(metric) for metric in metrics],
        rows=[[_mean_cell(row, metric) for metric in metrics] for row in means],
        images=[row["images"] for row in means],
        remarks=remarks,
        styles=Markup(_assets().joinpath("report.css").read_text(encoding="utf-8")),
        places=places,
    )


def to_script() -> str:
    """The page's own script: its files, one after the other, in a function of their own."""
    folder = _assets().joinpath("js")
    parts = [folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    return "\n".join(['(() => {\n"use strict";\n', *parts, "})();\n"])


def _heading(metric: TableMetric) -> dict[str, Any]:
    return {
        "lines": metric.title.split("\n"),
        "better": metric.better,
        "about": f"{METRICS.get(metric.column).title}: {metric.better} is better",
    }


def _mean_cell(row: dict[Any, Any], metric: TableMetric) -> Cell:
    mean, low, high, n = (row[f"{metric.key}{part}"] for part in ("", "_low", "_high", "_n"))
    title = "1 value" if n == 1 else f"{n} values"
    if not math.isnan(low):
        title = f"95% interval {_text(low)} to {_text(high)}, {title}"
    return Cell(_text(mean), "" if math.isnan(mean) else repr(float(mean)), title)


def _text(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.{_DECIMALS}f}"


def _assets() -> Traversable:
    return files("piebench_eval.report") / "assets"


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("piebench_eval.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")

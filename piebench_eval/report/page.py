"""The page's HTML: everything that is readable without a script."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from piebench_eval.metrics import METRICS
from piebench_eval.report import paths
from piebench_eval.report.means import means_rows
from piebench_eval.report.paper import beside_paper
from piebench_eval.tables.statistics.paired_comparison import versus_rules
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from piebench_eval.report.origin import Origin
    from piebench_eval.report.run import ScoredRun
    from piebench_eval.tables.layout import TableMetric

_SCRIPTS = (
    *("model", "state", "elements", "scroll", "means", "versus", "labels", "tradeoff", "types"),
    *("gallery", "sample", "main"),
)
"""Files of ``assets/js`` in the order in which they build on each other."""


def to_page(run: ScoredRun, remarks: Sequence[str]) -> str:
    """Write the page.

    Args:
        run: the scored run.
        remarks: what a reader must know of the scores.
    """
    metrics = run.source.metrics(every=False)
    different, shared = _facts(run.origins)
    return _template().render(
        title=run.title or run.folder.resolve().name,
        version=__version__,
        samples=len(run.samples),
        origins=run.origins,
        shared=shared,
        different=different,
        metrics=[_heading(metric) for metric in metrics],
        rows=means_rows(run, metrics),
        has_runs=any(each.run for each in run.combinations),
        paper=beside_paper(run),
        versus_rules=versus_rules(len(metrics)),
        remarks=remarks,
        styles=Markup(_assets().joinpath("report.css").read_text(encoding="utf-8")),
        paths=paths,
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


def _facts(origins: Sequence[Origin]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The facts in which runs differ, a text for each, and those that they share."""
    about = dict.fromkeys(name for origin in origins for name in origin.facts)
    texts = {name: [origin.facts.get(name, "") for origin in origins] for name in about}
    different = {name: of_each for name, of_each in texts.items() if len(set(of_each)) > 1}
    return different, {name: of_each[0] for name, of_each in texts.items() if name not in different}


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

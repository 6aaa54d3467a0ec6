"""The page's HTML, readable without JavaScript, and its script."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from piebench_eval.metrics import METRICS
from piebench_eval.report import paths
from piebench_eval.report.means import means_rows
from piebench_eval.report.paper_table import paper_table
from piebench_eval.tables.statistics.paired_comparison import comparison_rules
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from piebench_eval.report.content import ReportContent
    from piebench_eval.report.provenance import Provenance
    from piebench_eval.tables.layout import TableMetric

_SCRIPTS = (
    *("model", "state", "elements", "scroll", "means", "versus", "labels", "plot", "tradeoff", "types"),
    *("gallery", "sample", "main"),
)
"""Files of ``assets/js`` in the order of their dependencies."""


def to_page(content: ReportContent, remarks: Sequence[str]) -> str:
    """Write the page.

    Args:
        content: what the report shows.
        remarks: remarks on the scores.
    """
    metrics = content.score_table.metrics(every=False)
    different, shared = _facts(content.provenances)
    return _template().render(
        title=content.title or content.folder.resolve().name,
        version=__version__,
        samples=len(content.samples),
        provenances=content.provenances,
        shared=shared,
        different=different,
        metrics=[metric_heading(metric) for metric in metrics],
        rows=means_rows(content, metrics),
        has_runs=any(each.run for each in content.combinations),
        paper=paper_table(content),
        comparison_rules=comparison_rules(len(metrics)),
        remarks=remarks,
        styles=styles(),
        paths=paths,
    )


def to_script(names: Sequence[str] = _SCRIPTS, *further: str) -> str:
    """A page's script: files concatenated in one function.

    Args:
        names: files of ``assets/js`` in the order of their dependencies.
        further: texts that follow them.
    """
    folder = _assets().joinpath("js")
    parts = [folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in names]
    return "\n".join(['(() => {\n"use strict";\n', *parts, *further, "})();\n"])


def styles() -> Markup:
    """The looks of every page, as the text of a ``style`` element."""
    return Markup(_assets().joinpath("report.css").read_text(encoding="utf-8"))


def plotting_library() -> dict[str, bytes]:
    """The files of the library that draws plots, with its licence."""
    vendor = files("piebench_eval.report") / "vendor"
    return {name: vendor.joinpath(name).read_bytes() for name in (paths.PLOTLY, paths.PLOTLY_LICENCE)}


def metric_heading(metric: TableMetric) -> dict[str, Any]:
    """A metric's heading: its lines, which values are better, and a text that explains it."""
    return {
        "lines": metric.title.split("\n"),
        "better": metric.better,
        "about": f"{METRICS.get(metric.column).title}: {metric.better} is better",
    }


def template(package: str, name: str) -> Any:
    """A page's template from a package's folder ``assets``, which escapes what it is given."""
    environment = Environment(
        loader=PackageLoader(package, "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _facts(provenances: Sequence[Provenance]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The facts in which runs differ, with a text per run, and those that they share."""
    names = dict.fromkeys(name for provenance in provenances for name in provenance.facts)
    texts = {name: [provenance.facts.get(name, "") for provenance in provenances] for name in names}
    different = {name: of_each for name, of_each in texts.items() if len(set(of_each)) > 1}
    return different, {name: of_each[0] for name, of_each in texts.items() if name not in different}


def _assets() -> Traversable:
    return files("piebench_eval.report") / "assets"


@cache
def _template() -> Any:
    return template("piebench_eval.report", "page.html.j2")

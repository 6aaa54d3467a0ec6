"""``piebench metrics``: the columns that there are."""

from __future__ import annotations

from typing import Annotated

import typer

from piebench_eval.cli.console import out


def metrics(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List metrics: column, what it is, which way is better, paper and networks.

    piebench score --metrics takes their names. Installed plugins are listed too.
    """
    from piebench_eval.metrics import METRICS
    from piebench_eval.metrics.columns import COLUMNS

    listed = {}
    for name in METRICS.names():
        metric = METRICS.get(name)
        listed[name] = {
            "title": metric.title,
            "paper": metric.paper,
            "better": metric.better,
            "official": name in COLUMNS,
            "networks": metric.networks,
            "plugin": METRICS.origin(name),
        }
    if as_json:
        out.print_json(data=listed)
        return
    for name, about in listed.items():
        official = " (official)" if about["official"] else ""
        out.print(f"[bold]{name}[/bold]: {about['title']}, {about['better']} is better{official}")
        out.print(f"  {about['paper']}", markup=False)
        if about["plugin"]:
            out.print(f"  from {about['plugin']}", markup=False)

"""``piebench metrics``: list the metrics."""

from __future__ import annotations

from typing import Annotated

import typer

from piebench_eval.cli.console import out, print_entry, print_warning
from piebench_eval.errors import PiebenchError


def metrics(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List metrics: column, what it is, which way is better, paper and networks.

    piebench score --metrics takes their names. Installed plugins are listed too.
    """
    from piebench_eval.metrics import METRICS
    from piebench_eval.metrics.columns import COLUMNS

    listed = {}
    for name in METRICS.names():
        try:
            metric = METRICS.get(name)
        except PiebenchError as error:
            print_warning(str(error))
            continue
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
        print_entry(name, f"{about['title']}, {about['better']} is better{official}")
        out.print(f"  {about['paper']}", markup=False)
        if about["plugin"]:
            out.print(f"  from {about['plugin']}", markup=False)

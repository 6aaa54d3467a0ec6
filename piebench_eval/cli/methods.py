"""``piebench methods``: what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from piebench_eval.cli.console import out, print_entry


def methods(
    plugins: Annotated[
        list[Path] | None,
        typer.Option("--plugin", metavar="FILE", help="Python file that adds inversions or methods."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List inversions and editing methods: paper, equation, settings and their defaults.

    A setting is changed with --set, for example: piebench run ... --set method.cross_replace_steps=0.8
    Every inversion goes with every method. Installed plugins are listed too.
    """
    from piebench_eval.inversions import INVERSIONS
    from piebench_eval.methods import METHODS
    from piebench_eval.runs.plugins import load_plugins

    load_plugins([str(file) for file in plugins or ()])
    listed: dict[str, Any] = {
        registry.kind: {
            name: {**_describe(registry.get(name)), "plugin": registry.origin(name)}
            for name in registry.names()
        }
        for registry in (INVERSIONS, METHODS)
    }
    if as_json:
        out.print_json(data=listed)
        return
    for kind, entries in listed.items():
        for name, entry in entries.items():
            print_entry(f"{kind} {name}", entry["title"])
            out.print(f"  {entry['paper']}; {entry['equation']}", markup=False)
            if entry["plugin"]:
                out.print(f"  from {entry['plugin']}", markup=False)
            for setting, about in entry["settings"].items():
                out.print(f"  {setting} = {about['default']}: {about['description']}", markup=False)
            out.print()


def _describe(entry: Any) -> dict[str, Any]:
    return {
        "title": entry.title,
        "paper": entry.paper,
        "equation": entry.equation,
        "settings": {
            name: {"default": field.default, "description": field.description}
            for name, field in entry.settings.model_fields.items()
        },
    }

"""``piebench methods``: what exists."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from piebench_eval.cli.console import out


def methods(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List inversions and editing methods: paper, equation, settings and their defaults.

    A setting is changed with --set, for example: piebench run ... --set method.cross_replace_steps=0.8
    """
    from piebench_eval.inversions import INVERSIONS
    from piebench_eval.methods import METHODS

    listed: dict[str, Any] = {
        registry.kind: {name: _describe(registry.get(name)) for name in registry.names()}
        for registry in (INVERSIONS, METHODS)
    }
    if as_json:
        out.print_json(data=listed)
        return
    for kind, entries in listed.items():
        for name, entry in entries.items():
            out.print(f"[bold]{kind} {name}[/bold]: {entry['title']}")
            out.print(f"  {entry['paper']}; {entry['equation']}", markup=False)
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

"""``piebench methods``: list inversions, methods, editors, families of models and fields of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.cli.console import out, print_entry
from piebench_eval.cli.pairs import ROWS, for_json, pairs_of, print_pairs
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.builtin import recipe_file, recipe_names

if TYPE_CHECKING:
    from collections.abc import Mapping


def methods(
    plugins: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin", metavar="FILE", help="Python file that adds inversions, methods or editors."
        ),
    ] = None,
    recipe: Annotated[
        bool,
        typer.Option("--recipe", help="List the fields of a recipe instead."),
    ] = False,
    family: Annotated[
        str | None,
        typer.Option("--family", metavar="NAME", help="Only which pairs go with a family, such as flux."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List inversions, editing methods and editors: paper, equation, settings and their defaults.

    A setting is changed with --set, for example: piebench run ... --set method.cross_replace_steps=0.8
    Quirks are habits of single repositories: they serve to reproduce published numbers.
    Every inversion can be combined with every method, as far as both go with the model: tables at the end say
    which families of models each of them goes with, which pairs do, and which of these have published numbers
    on PIE-Bench and where. --family lists one family's alone. Installed plugins are listed too.
    An editor (--editor) makes pictures without an inversion and a method; the list says what prompts it, and
    whether it looks at the benchmark's masks.
    --recipe lists the settings that all share: model, steps, seed, resolution, ...

    Examples:

      piebench methods

      piebench methods --family flux

      piebench methods --recipe

      piebench methods --plugin my_method.py --json
    """
    if recipe:
        if family is not None:
            raise PiebenchError("--family: fields of a recipe are the same for all; leave out --recipe")
        _print_recipe(as_json)
        return
    from piebench_eval.editors import EDITORS
    from piebench_eval.inversions import INVERSIONS
    from piebench_eval.methods import METHODS
    from piebench_eval.models.families import FAMILIES
    from piebench_eval.recipes.plugins import load_plugins

    load_plugins([str(file) for file in plugins or ()])
    listed: dict[str, Any] = {
        registry.kind: {
            name: {**_describe(name, registry.get(name)), "plugin": registry.origin(name)}
            for name in registry.names()
        }
        for registry in (INVERSIONS, METHODS, EDITORS)
    }
    families = _families(listed, family)
    pairs = {
        name: pairs_of(FAMILIES[name], list(listed["inversion"]), list(listed["method"])) for name in families
    }
    if as_json:
        of_families = {name: {**about, "pairs": for_json(pairs[name])} for name, about in families.items()}
        out.print_json(data={**listed, "family": of_families})
        return
    if family is None:
        _print_entries(listed)
    _print_families(families, listed)
    out.print()
    print_pairs(pairs)


def _print_entries(listed: Mapping[str, Any]) -> None:
    from piebench_eval.editors.described import MASKS, PROMPTED_BY

    for kind, entries in listed.items():
        for name, entry in entries.items():
            print_entry(f"{kind} {name}", entry["title"])
            printed = "; ".join(filter(None, (entry["paper"], entry["equation"])))
            out.print(f"  {printed}", markup=False)
            if PROMPTED_BY in entry:
                out.print(f"  prompted by: {entry[PROMPTED_BY]}; masks used: {entry[MASKS]}", markup=False)
            if entry["plugin"]:
                out.print(f"  from {entry['plugin']}", markup=False)
            for setting, about in entry["settings"].items():
                out.print(f"  {setting} = {about['default']}: {about['description']}", markup=False)
            for quirk, about in entry["quirks"].items():
                out.print(f"  quirks.{quirk} = {about['default']}: {about['description']}", markup=False)
            out.print()


def _families(listed: Mapping[str, Any], only: str | None) -> dict[str, dict[str, Any]]:
    """Each family of models, and why inversions, methods and editors do not go with it, None where they do.

    Raises:
        PiebenchError: ``only`` is a name, and no family has it.
    """
    from piebench_eval.models.families import FAMILIES
    from piebench_eval.recipes.compatibility import MISFITS

    if only is not None and only not in FAMILIES:
        raise PiebenchError(f"--family {only}: no family of models is called so; use {', '.join(FAMILIES)}")
    return {
        name: {
            "title": family.title,
            "example": family.example,
            "predicts": family.predicts,
            "guidance": family.guidance,
            **{
                kind: {entry: misfit(entry, family, family.guidance) for entry in listed[kind]}
                for kind, misfit in MISFITS.items()
            },
        }
        for name, family in FAMILIES.items()
        if only in (None, name)
    }


def _print_families(families: Mapping[str, Any], listed: Mapping[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    for name, family in families.items():
        print_entry(f"family {name}", family["title"])
        guidance = family["guidance"].replace("_", "-")
        out.print(f"  such as {family['example']}; predicts {family['predicts']}; {guidance} guidance")
    grid = Table("goes with the family", *families, box=SIMPLE_HEAD)
    for kind, entries in listed.items():
        for entry in entries:
            marks = ("no" if family[kind][entry] else "yes" for family in families.values())
            grid.add_row(f"{kind} {entry}", *marks)
    out.print(grid)
    for why, entries in _refused(families, listed).items():
        out.print(f"- {', '.join(dict.fromkeys(entries))}: {why}")


def _refused(families: Mapping[str, Any], listed: Mapping[str, Any]) -> dict[str, list[str]]:
    """By reason, the inversions, methods and editors that do not go with a family."""
    from piebench_eval.models.families import FAMILIES
    from piebench_eval.recipes.compatibility import MISFITS

    refused: dict[str, list[str]] = {}
    for name, family in families.items():
        for kind in listed:
            for entry, why in family[kind].items():
                if why:
                    goes_by_rows = MISFITS[kind](entry, FAMILIES[name], "classifier_free") is None
                    remedy = f"; --set {ROWS} gives it some" if goes_by_rows else ""
                    refused.setdefault(why.removeprefix(f"{entry} ") + remedy, []).append(entry)
    return refused


def _print_recipe(as_json: bool) -> None:
    """The fields of a recipe, each with its default."""
    from piebench_eval.quirks import Quirks
    from piebench_eval.recipes.recipe import Recipe

    fields = {
        name: {
            "default": None if field.is_required() else _plain(field.get_default(call_default_factory=True)),
            "required": field.is_required(),
            "description": field.description,
        }
        for name, field in Recipe.model_fields.items()
    }
    if as_json:
        out.print_json(data=fields)
        return
    for name, about in fields.items():
        if name == "quirks":
            continue  # one a line, below
        value = "is required" if about["required"] else f"= {about['default']}"
        out.print(f"{name} {value}: {about['description']}", markup=False)
    for name, quirk in Quirks.model_fields.items():
        out.print(f"  quirks.{name} = {quirk.default}: {quirk.description}", markup=False)
    out.print("\nIn a YAML file for --config, or by --set NAME=VALUE. Recipes of the package:")
    for recipe_name in recipe_names():
        out.print(f"  {recipe_file(recipe_name)}", markup=False)


def _plain(value: Any) -> Any:
    """A default value as JSON has it."""
    from piebench_eval.settings import Settings

    return value.model_dump(mode="json") if isinstance(value, Settings) else value


def _describe(name: str, entry: Any) -> dict[str, Any]:
    from piebench_eval.editors.described import MASKS, PROMPTED_BY
    from piebench_eval.quirks import Quirks, own_fields, quirks_read_by

    def describe(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            field: {"default": about.default, "description": about.description}
            for field, about in fields.items()
        }

    return {
        "title": entry.title,
        "paper": entry.paper,
        "equation": entry.equation,
        "settings": describe(own_fields(entry.settings)),
        "quirks": describe({quirk: Quirks.model_fields[quirk] for quirk in quirks_read_by({name})}),
        **({field: getattr(entry, field) for field in (PROMPTED_BY, MASKS) if hasattr(entry, field)}),
    }

"""Choose some of a recipe's inversions, methods and editors: ``--inversion``, ``--method``, ``--editor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.builtin import recipe_file, recipe_names
from piebench_eval.recipes.overrides import PAIR_SECTIONS
from piebench_eval.recipes.wildcards import has_wildcards, listed_names

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence


def select_combinations(
    fields: Mapping[str, Any],
    inversions: Sequence[str] | None,
    methods: Sequence[str] | None,
    source: str,
    editors: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Choose inversions, methods and editors of a recipe's fields, or add those that it does not list.

    Editors that are chosen alone leave out the recipe's inversions and methods, and the other way round.

    Args:
        fields: fields of the recipe.
        inversions: names to choose; None leaves the recipe's.
        methods: likewise.
        source: where the fields come from, for messages.
        editors: likewise.

    Raises:
        PiebenchError: neither fields nor names say which; or the recipe lists combinations, and not these.
    """
    pairs_chosen = inversions is not None or methods is not None
    of_pairs, of_editors = _split(fields, pairs_chosen, editors)
    has_pairs = pairs_chosen or any(of_pairs.get(section.field) for section in PAIR_SECTIONS.values())
    if of_editors.get("editors") and not has_pairs:
        return {**of_pairs, **of_editors}
    selected = _select_pairs(of_pairs, inversions, methods, source)
    if own := of_editors.get("combinations"):
        selected["combinations"] = {**(selected.get("combinations") or {}), **own}
    return {**of_editors, **selected}


def _split(
    fields: Mapping[str, Any], pairs_chosen: bool, editors: Sequence[str] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A recipe's fields without its editors, and the chosen editors with their combinations.

    Args:
        fields: fields of the recipe.
        pairs_chosen: whether inversions or methods are chosen by name.
        editors: editors that are chosen; None leaves the recipe's, unless inversions or methods are chosen.
    """
    listed, rest = fields.get("editors"), {name: value for name, value in fields.items() if name != "editors"}
    known, combinations = listed_names(listed), fields.get("combinations")
    chosen = editors if editors is not None else [] if pairs_chosen else known
    if isinstance(combinations, dict) and known:
        of_pairs = {name: own for name, own in combinations.items() if name not in known}
        rest["combinations"] = of_pairs or None
        combinations = {name: own for name, own in combinations.items() if name in chosen}
    else:
        combinations = None
    if editors is not None and not pairs_chosen:
        rest |= dict.fromkeys(("inversions", "methods", "combinations"))
    if not chosen:
        return rest, {}
    settings = {name: listed.get(name) if isinstance(listed, dict) else None for name in chosen}
    return rest, {"editors": settings, "combinations": combinations or None}


def _select_pairs(
    fields: Mapping[str, Any], inversions: Sequence[str] | None, methods: Sequence[str] | None, source: str
) -> dict[str, Any]:
    """``select_combinations`` without editors."""
    selected = dict(fields)
    asked = dict(zip(PAIR_SECTIONS, (inversions, methods), strict=True))
    for prefix, names in asked.items():
        field = PAIR_SECTIONS[prefix].field
        if names is not None:
            settings = fields.get(field)
            selected[field] = {
                name: settings.get(name) if isinstance(settings, dict) else None for name in names
            }
        elif fields.get(field) is None:
            raise PiebenchError(
                f"say which with --{prefix}, or give a recipe with --config; see piebench methods"
            )
    listed = fields.get("combinations")
    if isinstance(listed, dict) and not has_wildcards(listed):
        _require_known(listed, fields, source)
        selected["combinations"] = _of_selected(listed, selected)
        used = {part for name in selected["combinations"] for part in str(name).split("+")}
        for prefix, names in asked.items():
            field = PAIR_SECTIONS[prefix].field
            if absent := [name for name in names or () if name not in used]:
                unknown = {name for name in absent if name not in (fields.get(field) or ())}
                raise PiebenchError(
                    f"--{prefix} {','.join(absent)}: {source} has no such combination; it has "
                    f"{', '.join(map(str, listed))}{_where_else(field, unknown)}"
                )
            selected[field] = _only(selected[field], used)
    return selected


def _where_else(field: str, names: set[str]) -> str:
    """What a message adds of the package's recipes that list all of these: "; --config edict has it", say."""
    from piebench_eval.recipes.recipe import read_recipe_fields

    of_recipes = {recipe: read_recipe_fields(recipe_file(recipe)) for recipe in recipe_names() if names}
    having = [recipe for recipe, fields in of_recipes.items() if names <= set(fields.get(field) or ())]
    return f"; --config {' or '.join(having)} has it" if having else ""


def _require_known(listed: Mapping[Any, Any], fields: Mapping[str, Any], source: str) -> None:
    """Refuse a listed combination of an inversion or method that the recipe has not: it would be left out."""
    for name in listed:
        for part, section in zip(str(name).split("+"), PAIR_SECTIONS.values(), strict=False):
            names = [str(known) for known in listed_names(fields.get(section.field))]
            if names and part not in names:
                raise PiebenchError(
                    f"{source}: combinations.{name}: {part} is not among the recipe's {section.field} "
                    f"({', '.join(names)})"
                )


def _of_selected(listed: Mapping[Any, Any], selected: Mapping[str, Any]) -> dict[Any, Any]:
    """The listed combinations whose inversion and method are selected."""
    names = [listed_names(selected[section.field]) for section in PAIR_SECTIONS.values()]
    chosen = {}
    for name, own in listed.items():
        # A name of another form than INVERSION+METHOD is kept here, and refused with the recipe.
        parts = zip(str(name).split("+"), names, strict=False)
        if all(part in selected_names for part, selected_names in parts):
            chosen[name] = own
    return chosen


def _only(section: Any, used: Container[Any]) -> Any:
    """A section of a recipe with only those names that are used; with their settings if it has any."""
    names = [name for name in listed_names(section) if name in used]
    return {name: section[name] for name in names} if isinstance(section, dict) else names

"""What a recipe and ``piebench run`` let one choose, as the options of a test matrix."""

from collections.abc import Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from piebench_eval.quirks import Quirks, quirks_read_by
from piebench_eval.recipes.overrides import PAIR_SECTIONS
from piebench_eval.recipes.recipe import Recipe
from piebench_eval.settings import Settings
from tests.support.pairs import METHODS_OF_NOISE, OF_NOISE
from tests.support.pairwise import Item

ABSENT = "absent"
"""The value of a setting that the row's inversion or method does not have."""

CHOSEN: Mapping[str, Sequence[Any]] = {
    "inversion.solver": ["euler"],  # DDIM has no other
    # The matrix edits with a model of one family; the others are edited with in test_combinations.py.
    "family": ("auto",),
    "guidance_policy": ("auto",),
    "prompt_from": ("auto",),  # of editors alone
    "output_filter": ("lanczos",),  # all of them in tests/editors/test_pictures.py
    "weights": ("full",),
    "quirks.added_shift": (False,),  # of families whose autoencoders have a shift
    "steps_offset": (1, 0),
    "guidance": (7.5, 1.0, 0.0),
    # Resize, which leads to squares as crop does, is edited with in tests/runs/test_output_resolution.py.
    "image_loader": ("crop", "stretch", "shorter_side"),
    "image_format": ("png", "jpeg:75"),
    "inversion.guidance": (1.0, 2.0),
    "inversion.refinements": (0, 1),
    "inversion.scale": (1.0, 0.5),
    "inversion.interval": (1, 2),
    "inversion.skip": (None, 1),
    "inversion.inner_steps": (2,),
    "inversion.max_norm": (15.5, None),
    "method.quantile": (0.75, 0.0),
    "method.blend_threshold": (0.8,),
    "method.attention_guidance": (1e-4,),  # more overshoots on random weights, and multiplies rounding errors
    "method.start_step": (0,),
    "method.start_layer": (4,),
}
"""Values of numbers and texts: those that take another way through the code, or suit a small model of random
weights and few steps: there, only words above a high threshold blend a part of the picture. The family is
that of the model."""

_APART = {
    frozenset([("method.mask_guided", True), ("method.source_prompt", "empty")]),
    frozenset([("inversion", "edict"), ("method", "pix2pix_zero")]),
    frozenset([("inversion.source_latents", "edited"), ("method.local_blend", True)]),
    frozenset([("inversion.target_offset", True), ("inversion.scale", 0.5)]),
    frozenset([("inversion.target_offset", True), ("inversion.interval", 2)]),
}
"""What a recipe refuses."""


def recipe_options() -> dict[str, list[Any]]:
    """Every enumeration and boolean of a recipe, and the numbers of ``CHOSEN``, by name as in ``--set``."""
    options: dict[str, list[Any]] = {section: _names(section) for section in PAIR_SECTIONS}
    options |= _of_every_edit()
    for section in PAIR_SECTIONS:
        of_entries = [_own(section, name) for name in _names(section)]
        for setting in dict.fromkeys(setting for own in of_entries for setting in own):
            values = [value for own in of_entries for value in own.get(setting, [ABSENT])]
            options[setting] = list(dict.fromkeys(values))
    return options


def defaults(inversion: str, method: str) -> dict[str, Any]:
    """A row of the first value of every option."""
    names = {"inversion": inversion, "method": method}
    own = {name: values[0] for name, values in _of_every_edit().items()}
    for section, name in names.items():
        own |= {setting: values[0] for setting, values in _own(section, name).items()}
    return dict.fromkeys(recipe_options(), ABSENT) | own | names


def fits(one: Item, other: Item) -> bool:
    """Whether a recipe can have both values."""
    for (name, chosen), (setting, value) in ((one, other), (other, one)):
        if name in PAIR_SECTIONS and setting in _of_section(name):
            return value in _own(name, str(chosen)).get(setting, [ABSENT])
    return frozenset([one, other]) not in _APART


def recipe_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields for one row: one combination with its settings."""
    fields = {name: value for name, value in row.items() if name in Recipe.model_fields}
    fields["quirks"] = {
        name.removeprefix("quirks."): value
        for name, value in row.items()
        if name.startswith("quirks.") and value != ABSENT
    }
    for section, (field, _) in PAIR_SECTIONS.items():
        own = {
            name.removeprefix(f"{section}."): value
            for name, value in row.items()
            if name.startswith(f"{section}.") and value != ABSENT
        }
        fields[field] = {row[section]: own}
    return fields


def _names(section: str) -> list[str]:
    """The inversions or methods of Stable Diffusion 1.x."""
    return OF_NOISE if section == "inversion" else METHODS_OF_NOISE


def _own(section: str, name: str) -> dict[str, list[Any]]:
    """The options of one inversion or method, and of the quirks that it reads."""
    _, registry = PAIR_SECTIONS[section]
    read = {f"quirks.{quirk}" for quirk in quirks_read_by({name})}
    quirks = {quirk: values for quirk, values in _values_of(Quirks, "quirks.").items() if quirk in read}
    return _values_of(registry.get(name).settings, f"{section}.") | quirks


@cache
def _of_section(section: str) -> set[str]:
    """The options that some inversions, or some methods, have."""
    return {setting for name in _names(section) for setting in _own(section, name)}


def _of_every_edit() -> dict[str, list[Any]]:
    """The options that do not depend on inversion and method."""
    quirks = _values_of(Quirks, "quirks.")
    of_some = set().union(*map(_of_section, PAIR_SECTIONS))
    return _values_of(Recipe, "") | {name: values for name, values in quirks.items() if name not in of_some}


@cache
def _values_of(settings: type[Settings], prefix: str) -> dict[str, list[Any]]:
    found = {}
    for name, field in settings.model_fields.items():
        listed = sorted(_enumerated(field.annotation), key=lambda value: value != field.default)
        if values := CHOSEN.get(f"{prefix}{name}", listed):
            found[f"{prefix}{name}"] = list(values)
    return found


def _enumerated(annotation: Any) -> list[Any]:
    """All values of a boolean or an enumeration, or of a union of such; none of anything else."""
    if annotation is bool:
        return [False, True]
    if annotation is NoneType:
        return [None]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        members = [_enumerated(member) for member in get_args(annotation)]
        return [value for values in members for value in values] if all(members) else []
    return []

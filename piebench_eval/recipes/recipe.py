"""A recipe: the complete description of how edits are made. Every setting that changes pixels is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from piebench_eval.combination_names import combination_name, parts_of_name
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_yaml_mapping
from piebench_eval.quirks import Quirks, SettingsWithQuirks, own_fields
from piebench_eval.recipes.combination import Combination, CommonSettings
from piebench_eval.recipes.overrides import (
    PAIR_SECTIONS,
    SECTIONS,
    as_validated,
    drop_common_fields,
    drop_section_field,
)
from piebench_eval.recipes.plugins import load_plugins
from piebench_eval.recipes.stored_recipe import StoredRecipe, pairs_of, require_edits
from piebench_eval.recipes.wildcards import expand_wildcards
from piebench_eval.settings import MOVED_FIELDS, Settings, explain_invalid, no_such_field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from piebench_eval.registry import Registry

_STRUCTURE = ("quirks", "inversions", "methods", "editors", "combinations", "plugins")


_QUIRKS = tuple(f"quirks.{name}" for name in Quirks.model_fields)
"""Quirks by their names in messages."""


class Recipe(CommonSettings):
    """How every image is edited.

    The combinations are all pairs of the inversions and methods, or those that ``combinations`` lists, and
    the editors. There, each can override any common field, and settings of its ``inversion`` and ``method``,
    or of the ``editor``.
    """

    plugins: list[str] = Field(
        default_factory=list, description="Python files that add inversions, methods and editors"
    )
    inversions: dict[str, SerializeAsAny[Settings]] = Field(
        default_factory=dict, description="name: settings"
    )
    methods: dict[str, SerializeAsAny[Settings]] = Field(default_factory=dict, description="name: settings")
    editors: dict[str, SerializeAsAny[Settings]] = Field(
        default_factory=dict, description="name: settings; beside inversions and methods, or in their place"
    )
    combinations: dict[str, dict[str, Any]] | None = Field(
        default=None,
        description="INVERSION+METHOD: what is different there; all pairs if empty. Or INVERSION+*: what is "
        "different in all of an inversion's. EDITOR: what is different there",
    )
    image_format: str = Field(
        default="png", description="png, or jpeg:QUALITY (jpeg:75 is what the reference saves)"
    )

    @field_validator("inversions", "methods", "editors", mode="before")
    @classmethod
    def _settings_by_name(cls, value: Any, info: Any) -> Any:
        registry = next(each.registry for each in SECTIONS.values() if each.field == info.field_name)
        if value is None:
            return {}
        if isinstance(value, str):
            value = [value]
        named = value
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            named = dict.fromkeys(value)
        if not isinstance(named, dict):
            raise ValueError("give names, or a mapping of names to settings")
        return {
            name: of_name if isinstance(of_name, Settings) else _settings_of(registry, name, of_name or {})
            for name, of_name in named.items()
        }

    @field_validator("image_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        name, _, quality = value.partition(":")
        jpeg = name == "jpeg" and quality.isdigit() and 1 <= int(quality) <= 100
        if value != "png" and not jpeg:
            raise ValueError("use png, or jpeg:QUALITY with a quality of 1 to 100")
        return value

    @field_validator("combinations", mode="before")
    @classmethod
    def _nothing_is_an_empty_mapping(cls, value: Any) -> Any:
        return {name: own or {} for name, own in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _combinations_fit(self) -> Self:
        require_edits(self.inversions, self.methods, self.editors)
        if self.combinations == {}:
            raise ValueError("combinations: is empty; leave it out for all pairs")
        for name, own in (self.combinations or {}).items():
            inversion, method = parts_of_name(name)
            known = inversion in self.inversions and method in self.methods
            if not known and (inversion or method not in self.editors):
                or_editor = " and no editor" if self.editors else ""
                raise ValueError(f"combinations.{name}: is no INVERSION+METHOD{or_editor} of this recipe")
            combination = self.combination(inversion, method)
            quirks = {f"quirks.{key}": value for key, value in combination.common.quirks}
            own.update(as_validated(own, combination.flat() | quirks))
        return self

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All (inversion, method) pairs, in order; an editor is one without an inversion."""
        return pairs_of(self.inversions, self.methods, self.combinations, self.editors)

    def combination(self, inversion: str, method: str) -> Combination:
        """One of the pairs, or an editor (without an inversion), with all its settings.

        Raises:
            PiebenchError: its own settings do not fit.
        """
        name = combination_name(inversion, method)
        chosen = (
            dict(zip(PAIR_SECTIONS, (inversion, method), strict=True)) if inversion else {"editor": method}
        )
        own = dict((self.combinations or {}).get(name, {}))
        try:
            settings = {
                prefix: self._settings_with(prefix, named, own.pop(prefix, None))
                for prefix, named in chosen.items()
            }
            common = self._common_with(own)
        except PiebenchError as error:
            raise PiebenchError(f"combinations.{name}: {error}") from None
        except ValidationError as error:
            lines = explain_invalid(error, [*CommonSettings.model_fields, *_QUIRKS], f"combinations.{name}")
            raise PiebenchError("; ".join(lines)) from None
        for prefix, section in settings.items():
            if isinstance(section, SettingsWithQuirks):
                settings[prefix] = section.model_copy(update={"quirks": common.quirks})
        of_inversion, of_method, of_editor = (settings.get(prefix, Settings()) for prefix in SECTIONS)
        return Combination(inversion, method, of_inversion, of_method, common, of_editor)

    def _settings_with(self, prefix: str, name: str, changes: Any) -> Settings:
        """The settings of one inversion, method or editor with the changes of a combination."""
        section = SECTIONS[prefix]
        if not isinstance(changes, dict | None):
            raise PiebenchError(f"{prefix}: is no mapping of settings")
        settings = getattr(self, section.field)[name]
        return _settings_of(section.registry, name, {**dict(settings), **(changes or {})})

    def _common_with(self, changes: dict[str, Any]) -> CommonSettings:
        """The common settings with the changes of a combination."""
        fields = {field: getattr(self, field) for field in CommonSettings.model_fields} | changes
        if "quirks" in changes and isinstance(changes["quirks"], dict | None):
            fields["quirks"] = {**dict(self.quirks), **(changes["quirks"] or {})}
        return CommonSettings.model_validate(fields)

    def to_yaml(self) -> str:
        """The recipe as YAML, with every default."""
        return yaml.safe_dump(self.stored.fields, sort_keys=False)

    @property
    def stored(self) -> StoredRecipe:
        """The recipe as plain values, as in a run folder; without editors, as before there were any."""
        fields = self.model_dump(mode="json")
        if not self.editors:
            del fields["editors"]
        return StoredRecipe(fields)

    @property
    def hash(self) -> str:
        """SHA-256 over all fields; equal recipes have equal hashes."""
        return self.stored.hash

    def differences(self, other: Recipe) -> list[str]:
        """Fields in which another recipe differs, as ``field: this -> other``."""
        return self.stored.differences(other.stored)


def build_recipe(
    fields: Mapping[str, Any],
    overrides: Mapping[str, Any],
    source: str,
    known_plugins: Mapping[str, str] | None = None,
) -> Recipe:
    """Build a recipe from the fields of a file and overrides.

    Args:
        fields: fields of the recipe.
        overrides: dotted key to value. ``inversion.KEY``, ``method.KEY`` and ``editor.KEY`` reach every
            chosen one that has the setting; ``inversion.NAME.KEY`` only that one; ``quirks.KEY`` is a quirk.
            An override holds for every combination, also for one that has its own value.
        source: where the fields come from, for messages.
        known_plugins: SHA-256 of plugins' files, see ``load_plugins``.

    Raises:
        PiebenchError: an unknown field, a value that does not fit, an unknown name, or a plugin that is
            broken or not the known one.
    """
    common = {key: value for key, value in overrides.items() if key in CommonSettings.model_fields}
    others = {key: value for key, value in overrides.items() if key not in common}
    try:
        load_plugins(fields.get("plugins"), known_plugins)
        combinations = drop_common_fields(fields.get("combinations"), common)
        quirks = common.get("quirks")
        for quirk in quirks if isinstance(quirks, dict) else ():
            combinations = drop_section_field(combinations, "quirks", quirk)
        combinations = expand_wildcards(combinations, fields.get("inversions"), fields.get("methods"))
        recipe = Recipe.model_validate({**fields, **common, "combinations": combinations})
        recipe = _override_sections(recipe, others)
    except ValidationError as error:
        lines = explain_invalid(error, [*Recipe.model_fields, *_QUIRKS])
        raise PiebenchError(f"{source}: " + "; ".join(lines)) from None
    return recipe


def require_known_fields(fields: Mapping[str, Any], source: str) -> None:
    """Check the names of a recipe's fields before missing ones are asked for.

    Raises:
        PiebenchError: a name is unknown.
    """
    if unknown := [str(name) for name in fields if name not in Recipe.model_fields]:
        lines = (no_such_field(name, Recipe.model_fields) for name in unknown)
        raise PiebenchError(f"{source}: " + "; ".join(lines))


def read_recipe_fields(file: Path) -> dict[str, Any]:
    """Read the fields of a recipe from a YAML file.

    Raises:
        PiebenchError: a file that cannot be read or is no mapping.
    """
    return read_yaml_mapping(file, "give a mapping of fields such as 'steps: 50', as configs/paper.yaml is")


def _override_sections(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """A copy of a recipe with fields overridden, given by their names in ``--set``.

    Those of inversions or methods go together, so that settings which need each other come in any order.
    """
    of_sections: dict[str, dict[str, Any]] = {prefix: {} for prefix in SECTIONS}
    for key, value in overrides.items():
        prefix, _, rest = key.partition(".")
        # Also inversions.NAME.KEY, as recipe.yaml has it.
        kinds = [
            kind for kind, section in SECTIONS.items() if prefix == kind or (rest and prefix == section.field)
        ]
        if kinds:
            of_sections[kinds[0]][key] = value
        else:
            recipe = _override(recipe, key, value)
    for prefix, changes in of_sections.items():
        if changes:
            recipe = _override_section(recipe, prefix, changes)
    return recipe


def _override(recipe: Recipe, key: str, value: Any) -> Recipe:
    """A copy of a recipe with one field overridden that is of no inversion, method or editor."""
    prefix, _, rest = key.partition(".")
    if prefix == "quirks" and rest in Quirks.model_fields:
        quirks = {**dict(recipe.quirks), rest: value}
        combinations = drop_section_field(recipe.combinations, "quirks", rest)
        return _replaced(recipe, quirks=quirks, combinations=combinations)
    overridable = [name for name in Recipe.model_fields if name not in _STRUCTURE]
    if key not in overridable:
        if homes := [kind for kind in SECTIONS if key in _fields_of_section(recipe, kind)]:
            meant = " or ".join(f"{kind}.{key}" for kind in homes)
            raise PiebenchError(f"--set {key}: no such field; is {meant} meant?")
        overridable += [f"quirks.{name}" for name in Quirks.model_fields]
        raise PiebenchError(
            f"--set {no_such_field(key, [*overridable, *(f'{kind}.KEY' for kind in SECTIONS)])}"
        )
    return _replaced(recipe, **{key: value})


def _override_section(recipe: Recipe, prefix: str, overrides: Mapping[str, Any]) -> Recipe:
    """Override settings of inversions, methods or editors, and check them when all have their new values.

    Args:
        recipe: the recipe.
        prefix: ``inversion``, ``method`` or ``editor``.
        overrides: key to value: ``PREFIX.FIELD`` for all of them that have the field, or
            ``PREFIX.NAME.FIELD`` for one.
    """
    section = SECTIONS[prefix]
    by_name: dict[str, Settings] = dict(getattr(recipe, section.field))
    changes: dict[str, dict[str, Any]] = {}
    combinations = recipe.combinations
    for key, value in overrides.items():
        changed, field = _reached(recipe, prefix, key)
        for name in changed:
            changes.setdefault(name, {})[field] = value
        reached = {combination_name(*pair) for pair in recipe.pairs if _part_of(pair, prefix) in changed}
        combinations = drop_section_field(combinations, prefix, field, reached.__contains__)
    for name, values in changes.items():
        by_name[name] = _settings_of(section.registry, name, {**dict(by_name[name]), **values})
    return _replaced(recipe, **{section.field: by_name, "combinations": combinations})


def _part_of(pair: tuple[str, str], prefix: str) -> str | None:
    """The name of a section in a pair; None if the pair has no such part."""
    inversion, method = pair
    if prefix == "inversion":
        return inversion or None
    return method if bool(inversion) == (prefix == "method") else None


def _reached(recipe: Recipe, prefix: str, key: str) -> tuple[list[str], str]:
    """The inversions, methods or editors that a key in ``--set`` reaches, and their field that it names."""
    by_name: dict[str, Settings] = getattr(recipe, SECTIONS[prefix].field)
    name, _, field = key.partition(".")[2].partition(".")
    names = [name]
    if not field:
        names, field = list(by_name), name
    fields = {name: own_fields(type(settings)) for name, settings in by_name.items()}
    changed = [name for name in names if field in fields.get(name, ())]
    if not changed:
        if field in MOVED_FIELDS:
            raise PiebenchError(f"--set {no_such_field(key, ())}")
        of_all = field in Recipe.model_fields and field not in _STRUCTURE
        known = (
            f"is {field} meant?" if of_all else f"there are: {', '.join(_fields_of_section(recipe, prefix))}"
        )
        raise PiebenchError(
            f"--set {key}: no {prefix} of this recipe ({', '.join(by_name) or 'which has none'}) has that "
            f"setting; {known}"
        )
    return changed, field


def _fields_of_section(recipe: Recipe, prefix: str) -> list[str]:
    """The settings that any of a recipe's inversions, methods or editors have."""
    by_name: dict[str, Settings] = getattr(recipe, SECTIONS[prefix].field)
    return sorted({field for settings in by_name.values() for field in own_fields(type(settings))})


def _replaced(recipe: Recipe, **fields: Any) -> Recipe:
    """A copy of a recipe with other values of some fields, validated."""
    return Recipe.model_validate({**dict(recipe), **fields})


def _settings_of(registry: Registry[Any], name: str, values: Any) -> Settings:
    """Validate the settings of one inversion or method."""
    kind = registry.get(name).settings
    reserved = issubclass(kind, SettingsWithQuirks) or "quirks" not in kind.model_fields
    if reserved and isinstance(values, dict) and not isinstance(values.get("quirks", Quirks()), Quirks):
        raise PiebenchError(
            f"{registry.kind}.{name}.quirks: is no setting of {name}; write quirks at the top of the recipe, "
            "or under a combination"
        )
    try:
        settings: Settings = kind.model_validate(values)
    except ValidationError as error:
        lines = explain_invalid(error, kind.model_fields, f"{registry.kind}.{name}")
        raise PiebenchError("; ".join(lines)) from None
    return settings

"""A recipe: the complete description of how edits are made. Every setting that changes pixels is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_yaml_mapping
from piebench_eval.quirks import Quirks, SettingsWithQuirks, own_fields
from piebench_eval.recipes.combination import Combination, CommonSettings
from piebench_eval.recipes.overrides import SECTIONS, as_understood, without_overridden
from piebench_eval.recipes.plugins import load_plugins
from piebench_eval.recipes.shared_settings import is_shared, spread
from piebench_eval.recipes.stored_recipe import StoredRecipe, pairs_of
from piebench_eval.registry import MOVED_FIELDS, Registry, Settings, explain_invalid, no_such_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

_STRUCTURE = ("quirks", "inversions", "methods", "combinations", "plugins")


class Recipe(CommonSettings):
    """How every image is edited.

    The combinations are all pairs of the inversions and methods, or those that ``combinations`` lists. There,
    each can override any common field, and settings of its ``inversion`` and ``method``.
    """

    plugins: list[str] = Field(
        default_factory=list, description="Python files that add inversions and methods"
    )
    inversions: dict[str, SerializeAsAny[Settings]] = Field(min_length=1, description="name: settings")
    methods: dict[str, SerializeAsAny[Settings]] = Field(min_length=1, description="name: settings")
    combinations: dict[str, dict[str, Any]] | None = Field(
        default=None,
        description="INVERSION+METHOD: what is different there; all pairs if empty. Or INVERSION+*: what is "
        "different in all of an inversion's",
    )
    image_format: str = Field(
        default="png", description="png, or jpeg:QUALITY (jpeg:75 is what the reference saves)"
    )

    @field_validator("inversions", "methods", mode="before")
    @classmethod
    def _settings_by_name(cls, value: Any, info: Any) -> Any:
        registry = next(registry for field, registry in SECTIONS.values() if field == info.field_name)
        if isinstance(value, str):
            value = [value]
        named = value
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            named = dict.fromkeys(value)
        if not isinstance(named, dict):
            raise ValueError("give names, or a mapping of names to settings")
        return {
            name: of_name if isinstance(of_name, Settings) else _section(registry, name, of_name or {})
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
        if self.combinations == {}:
            raise ValueError("combinations: is empty; leave it out for all pairs")
        for name, own in (self.combinations or {}).items():
            inversion, _, method = name.partition("+")
            if inversion not in self.inversions or method not in self.methods:
                raise ValueError(f"combinations.{name}: is no INVERSION+METHOD of this recipe")
            combination = self.combination(inversion, method)
            quirks = {f"quirks.{key}": value for key, value in combination.common.quirks}
            own.update(as_understood(own, combination.flat() | quirks))
        return self

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All (inversion, method) pairs, in order."""
        return pairs_of(self.inversions, self.methods, self.combinations)

    def combination(self, inversion: str, method: str) -> Combination:
        """One of the pairs with all its settings.

        Raises:
            PiebenchError: its own settings do not fit.
        """
        name = f"{inversion}+{method}"
        own = dict((self.combinations or {}).get(name, {}))
        sections = {
            prefix: getattr(self, field)[chosen]
            for (prefix, (field, _)), chosen in zip(SECTIONS.items(), (inversion, method), strict=True)
        }
        try:
            for (prefix, (_, registry)), chosen in zip(SECTIONS.items(), (inversion, method), strict=True):
                changes = own.pop(prefix, None) or {}
                if not isinstance(changes, dict):
                    raise PiebenchError(f"{prefix}: is no mapping of settings")
                sections[prefix] = _section(registry, chosen, {**dict(sections[prefix]), **changes})
            shared = {field: getattr(self, field) for field in CommonSettings.model_fields}
            if isinstance(quirks := own.get("quirks"), dict | None):
                own["quirks"] = {**dict(self.quirks), **(quirks or {})}
            common = CommonSettings.model_validate({**shared, **own})
        except PiebenchError as error:
            raise PiebenchError(f"combinations.{name}: {error}") from None
        except ValidationError as error:
            lines = explain_invalid(error, CommonSettings.model_fields)
            raise PiebenchError("; ".join(f"combinations.{name}.{line}" for line in lines)) from None
        for prefix, section in sections.items():
            if isinstance(section, SettingsWithQuirks):
                sections[prefix] = section.model_copy(update={"quirks": common.quirks})
        return Combination(inversion, method, sections["inversion"], sections["method"], common)

    def to_yaml(self) -> str:
        """The recipe as YAML, with every default."""
        return yaml.safe_dump(self.stored.fields, sort_keys=False)

    @property
    def stored(self) -> StoredRecipe:
        """The recipe as plain values, as in a run folder."""
        return StoredRecipe(self.model_dump(mode="json"))

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
        overrides: dotted key to value. ``inversion.KEY`` and ``method.KEY`` reach every chosen inversion or
            method that has the setting; ``inversion.NAME.KEY`` only that one; ``quirks.KEY`` is a quirk. An
            override holds for every combination, also for one that has its own value.
        source: where the fields come from, for messages.
        known_plugins: SHA-256 of plugins' files, see ``load_plugins``.

    Raises:
        PiebenchError: an unknown field, a value that does not fit, an unknown name, or a plugin that is
            broken or not the known one.
    """
    plain = {key: value for key, value in overrides.items() if key in CommonSettings.model_fields}
    dotted = {key: value for key, value in overrides.items() if key not in plain}
    try:
        load_plugins(fields.get("plugins"), known_plugins)
        own = without_overridden(fields.get("combinations"), lambda name: plain)
        own = spread(own, fields.get("inversions"), fields.get("methods"))
        recipe = Recipe.model_validate({**fields, **plain, "combinations": own})
        for key, value in dotted.items():
            recipe = _override(recipe, key, value)
    except ValidationError as error:
        lines = explain_invalid(error, Recipe.model_fields)
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


def narrow(
    fields: Mapping[str, Any], inversions: Sequence[str] | None, methods: Sequence[str] | None, source: str
) -> dict[str, Any]:
    """Choose inversions and methods of a recipe's fields, or add them where it lists no combinations.

    Args:
        fields: fields of the recipe.
        inversions: names to choose; None leaves the recipe's.
        methods: likewise.
        source: where the fields come from, for messages.

    Raises:
        PiebenchError: neither fields nor names say which; or the recipe lists combinations, and not these.
    """
    narrowed = dict(fields)
    for (prefix, (field, _)), names in zip(SECTIONS.items(), (inversions, methods), strict=True):
        known = fields.get(field)
        if names is not None:
            narrowed[field] = {name: known.get(name) if isinstance(known, dict) else None for name in names}
        elif known is None:
            raise PiebenchError(
                f"say which with --{prefix}, or give a recipe with --config; see piebench methods"
            )
    listed = fields.get("combinations")
    if isinstance(listed, dict) and not is_shared(listed):
        chosen = {
            name: own
            for name, own in listed.items()
            if all(
                part in narrowed[field]
                for part, (field, _) in zip(str(name).split("+"), SECTIONS.values(), strict=False)
            )
        }
        parts = {part for name in chosen for part in str(name).split("+")}
        for (prefix, _), names in zip(SECTIONS.items(), (inversions, methods), strict=True):
            if absent := [name for name in names or () if name not in parts]:
                raise PiebenchError(
                    f"--{prefix} {','.join(absent)}: {source} has no such combination; it has "
                    f"{', '.join(map(str, listed))}"
                )
        narrowed["combinations"] = chosen
        for field, _ in SECTIONS.values():
            known = narrowed[field]
            kept = [name for name in known if name in parts]
            narrowed[field] = {name: known[name] for name in kept} if isinstance(known, dict) else kept
    return narrowed


def read_recipe_fields(file: Path) -> dict[str, Any]:
    """Read the fields of a recipe from a YAML file.

    Raises:
        PiebenchError: a file that cannot be read or is no mapping.
    """
    return read_yaml_mapping(file, "give a mapping of fields such as 'steps: 50', as configs/paper.yaml is")


def _override(recipe: Recipe, key: str, value: Any) -> Recipe:
    prefix, _, rest = key.partition(".")
    if prefix == "quirks" and rest in Quirks.model_fields:
        own = without_overridden(recipe.combinations, lambda pair: {"quirks": {rest}})
        quirks = {**dict(recipe.quirks), rest: value}
        return Recipe.model_validate({**dict(recipe), "quirks": quirks, "combinations": own})
    prefix = prefix.removesuffix("s") if rest else prefix  # methods.p2p.KEY, as recipe.yaml has it
    if prefix not in SECTIONS:
        plain = [name for name in Recipe.model_fields if name not in _STRUCTURE]
        if key not in plain:
            plain += [f"quirks.{name}" for name in Quirks.model_fields]
            raise PiebenchError(f"--set {no_such_field(key, [*plain, 'inversion.KEY', 'method.KEY'])}")
        return Recipe.model_validate({**dict(recipe), key: value})
    field, registry = SECTIONS[prefix]
    sections: dict[str, Settings] = dict(getattr(recipe, field))
    name, _, setting = rest.partition(".")
    reached = [name] if setting else list(sections)
    setting = setting or rest
    having = [name for name in reached if name in sections and setting in own_fields(type(sections[name]))]
    if not having:
        if setting in MOVED_FIELDS:
            raise PiebenchError(f"--set {no_such_field(key, ())}")
        known = sorted({key for name in sections for key in own_fields(type(sections[name]))})
        raise PiebenchError(
            f"--set {key}: no {prefix} of this recipe ({', '.join(sections)}) has that setting; "
            f"there are: {', '.join(known)}"
        )
    for name in having:
        sections[name] = _section(registry, name, {**dict(sections[name]), setting: value})
    place = list(SECTIONS).index(prefix)
    own = without_overridden(
        recipe.combinations,
        lambda pair: {prefix: {setting}} if pair.split("+")[place] in having else {},
    )
    return Recipe.model_validate({**dict(recipe), field: sections, "combinations": own})


def _section(registry: Registry[Any], name: str, values: Any) -> Settings:
    kind = registry.get(name).settings
    if isinstance(values, dict) and "quirks" in values and not isinstance(values["quirks"], Quirks):
        raise PiebenchError(
            f"{registry.kind}.{name}.quirks: is no setting of {name}; write quirks at the top of the recipe, "
            "or under a combination"
        )
    try:
        settings: Settings = kind.model_validate(values)
    except ValidationError as error:
        lines = explain_invalid(error, kind.model_fields)
        raise PiebenchError("; ".join(f"{registry.kind}.{name}.{line}" for line in lines)) from None
    return settings

"""A recipe: the complete description of how edits are made. Nothing that changes pixels lives outside it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, field_validator

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.registry import Registry, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECTIONS: dict[str, tuple[str, Registry[Any]]] = {
    "inversion": ("inversions", INVERSIONS),
    "method": ("methods", METHODS),
}
"""Prefix of ``--set`` for the settings of inversions and methods: field of the recipe and registry."""


class Recipe(Settings):
    """How every picture is edited: all pairs of the inversions and methods named here."""

    model: str = Field(description="diffusers directory or hub id of a Stable Diffusion 1.x model")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    inversions: dict[str, SerializeAsAny[Settings]] = Field(min_length=1, description="name: settings")
    methods: dict[str, SerializeAsAny[Settings]] = Field(min_length=1, description="name: settings")
    steps: int = Field(default=50, ge=1, le=999, description="sampling steps, and inversion steps")
    guidance: float = Field(default=7.5, ge=0, description="classifier-free guidance scale of the edit")
    seed: int = Field(
        default=1234, ge=0, description="seed of each sample's noise, where an inversion draws any"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="of UNet and text encoder")
    resolution: int | None = Field(default=None, ge=8, description="side in pixels; the model's own if empty")
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

    @property
    def combinations(self) -> list[tuple[str, str]]:
        """All (inversion, method) pairs, in order."""
        return [(inversion, method) for inversion in self.inversions for method in self.methods]

    def to_yaml(self) -> str:
        """The recipe with every default spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @property
    def hash(self) -> str:
        """SHA-256 over all fields; equal recipes have equal hashes."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def changed_settings(self) -> dict[str, list[str]]:
        """Settings that are not at their defaults, as ``inversion.NAME`` or ``method.NAME`` to fields."""
        changed = {}
        for prefix, (field, _) in SECTIONS.items():
            for name, settings in getattr(self, field).items():
                defaults = type(settings)()
                fields = [key for key, value in settings if value != getattr(defaults, key)]
                if fields:
                    changed[f"{prefix}.{name}"] = fields
        return changed

    def differences(self, other: Recipe) -> list[str]:
        """Fields in which another recipe differs, as ``field: this -> other``."""
        mine, theirs = _flatten(self.model_dump(mode="json")), _flatten(other.model_dump(mode="json"))
        return [
            f"{key}: {mine.get(key, '(absent)')} -> {theirs.get(key, '(absent)')}"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key, _ABSENT) != theirs.get(key, _ABSENT)
        ]


_ABSENT = object()


def build_recipe(fields: Mapping[str, Any], overrides: Mapping[str, Any], source: str) -> Recipe:
    """Make a recipe from a file's or flag's fields and ``--set`` overrides.

    Args:
        fields: fields of the recipe.
        overrides: dotted key to value. ``inversion.KEY`` and ``method.KEY`` reach every chosen inversion or
            method that has the setting; ``inversion.NAME.KEY`` only that one.
        source: where the fields come from, for messages.

    Raises:
        PiebenchError: an unknown field, a value that does not fit, or an unknown name.
    """
    try:
        recipe = Recipe.model_validate(dict(fields))
        for key, value in overrides.items():
            recipe = _override(recipe, key, value)
    except ValidationError as error:
        raise PiebenchError(f"{source}: " + "; ".join(_explain(error))) from None
    return recipe


def read_recipe_fields(file: Path) -> dict[str, Any]:
    """Read the fields of a recipe from a YAML file.

    Raises:
        PiebenchError: a file that cannot be read or is no mapping.
    """
    try:
        fields = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PiebenchError(
            f"{file}: cannot be read ({error}); give a recipe such as configs/direct_p2p.yaml"
        ) from None
    except yaml.YAMLError as error:
        raise PiebenchError(f"{file}: is not valid YAML: {error}") from None
    if not isinstance(fields, dict):
        raise PiebenchError(f"{file}: a recipe is a mapping of fields such as 'steps: 50'")
    return fields


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``key.path=value``; the value is read as YAML.

    Raises:
        PiebenchError: no key or no "=".

    >>> parse_override("method.cross_replace_steps=0.8")
    ('method.cross_replace_steps', 0.8)
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise PiebenchError(f"--set {text}: write KEY=VALUE, for example method.cross_replace_steps=0.8")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return key.strip(), value


def _override(recipe: Recipe, key: str, value: Any) -> Recipe:
    prefix, _, rest = key.partition(".")
    prefix = prefix.removesuffix("s") if rest else prefix  # methods.p2p.KEY, as recipe.yaml has it
    if prefix not in SECTIONS:
        if key not in Recipe.model_fields or key in [field for field, _ in SECTIONS.values()]:
            plain = [name for name in Recipe.model_fields if name not in ("inversions", "methods")]
            raise PiebenchError(
                f"--set {key}: no such field; there are {', '.join(plain)}, inversion.KEY and method.KEY"
            )
        return Recipe.model_validate({**dict(recipe), key: value})
    field, registry = SECTIONS[prefix]
    sections: dict[str, Settings] = dict(getattr(recipe, field))
    name, _, setting = rest.partition(".")
    reached = [name] if setting else list(sections)
    setting = setting or rest
    having = [name for name in reached if name in sections and setting in type(sections[name]).model_fields]
    if not having:
        known = sorted({key for name in sections for key in type(sections[name]).model_fields})
        raise PiebenchError(
            f"--set {key}: no {prefix} of this recipe ({', '.join(sections)}) has that setting; "
            f"there are: {', '.join(known)}"
        )
    for name in having:
        sections[name] = _section(registry, name, {**dict(sections[name]), setting: value})
    return Recipe.model_validate({**dict(recipe), field: sections})


def _section(registry: Registry[Any], name: str, values: Any) -> Settings:
    try:
        settings: Settings = registry.get(name).settings.model_validate(values)
    except ValidationError as error:
        raise PiebenchError("; ".join(f"{registry.kind}.{name}.{line}" for line in _explain(error))) from None
    return settings


def _explain(error: ValidationError) -> list[str]:
    """One line per problem: field, what is wrong, what was given."""
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{field}: no such field")
        elif problem["type"] == "missing":
            lines.append(f"{field}: is missing")
        else:
            lines.append(f"{field}: {problem['msg']} (given: {problem['input']!r})")
    return lines


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_flatten(inner, f"{prefix}.{key}" if prefix else key))
    return flat or {prefix: value}

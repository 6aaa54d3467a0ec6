"""A recipe as plain data, as in a run folder: it names inversions and methods, and imports none of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from piebench_eval.data.images import ImageLoader  # noqa: TC001 (pydantic reads annotations at run time)
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_yaml_mapping
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.quirks import quirks_apart
from piebench_eval.recipes.combination import LATER_SETTINGS, flat_quirks, with_former_defaults
from piebench_eval.settings import explain_invalid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NOT_COMMON = ("plugins", "inversions", "methods", "combinations", "image_format", "quirks")
_ABSENT = object()


def _plain_name(name: str) -> str:
    if not name.isprintable() or "/" in name or "\\" in name:
        raise ValueError("a name becomes a folder's: leave out slashes and control characters")
    return name


_Name = Annotated[str, AfterValidator(_plain_name)]
_Sections = dict[_Name, dict[str, Any]]


class _CombinationSettings(BaseModel):
    """The settings that one combination overrides."""

    inversion: dict[str, Any] | None = None
    method: dict[str, Any] | None = None
    quirks: dict[str, Any] | None = None
    image_loader: ImageLoader | None = None
    output_resolution: int | None = None


class _Schema(BaseModel):
    """What can be checked of a stored recipe without the code of its inversions and methods."""

    model: str
    image_format: str
    image_loader: ImageLoader
    plugins: list[str]
    inversions: _Sections = Field(min_length=1)
    methods: _Sections = Field(min_length=1)
    combinations: dict[str, _CombinationSettings] | None
    output_resolution: int | None = None
    quirks: dict[str, Any] = Field(default_factory=dict)  # absent from recipes of before it was a section


@dataclass(frozen=True)
class StoredRecipe:
    """A recipe with every default, as plain values.

    A run folder can come from others, and its recipe can name plugins, which are code. Commands that only
    read a run use this; those that make edits build a ``Recipe``, which imports the plugins.

    Attributes:
        fields: as in ``recipe.yaml``.
    """

    fields: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> StoredRecipe:
        """Read a run's ``recipe.yaml``.

        Raises:
            PiebenchError: the file cannot be read, or is no recipe that ``piebench run`` has written.
        """
        fields = read_yaml_mapping(file, "restore it")
        try:
            _Schema.model_validate(fields)
            json.dumps(fields, sort_keys=True)  # YAML has dates, sets and loops besides
        except ValidationError as error:
            problems = "; ".join(explain_invalid(error))
            raise PiebenchError(f"{file}: cannot be used ({problems}); restore it") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise PiebenchError(f"{file}: cannot be used ({error}); restore it") from None
        return cls(fields)

    @property
    def model(self) -> str:
        """The model of all combinations that do not override it."""
        return str(self.fields["model"])

    @property
    def image_format(self) -> str:
        """``png``, or ``jpeg:QUALITY``."""
        return str(self.fields["image_format"])

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All (inversion, method) pairs, in order."""
        return pairs_of(self.fields["inversions"], self.fields["methods"], self.fields["combinations"])

    def settings(self, inversion: str, method: str) -> dict[str, Any]:
        """Every setting of one of the pairs, by the names of ``Combination.flat``."""
        own_fields = ("inversion", "method", "quirks")
        own = (self.fields["combinations"] or {}).get(f"{inversion}+{method}", {})
        sections = {
            "inversion": self.fields["inversions"][inversion],
            "method": self.fields["methods"][method],
        }
        flat = {
            f"{prefix}.{field}": value
            for prefix, section in sections.items()
            for field, value in {**section, **(own.get(prefix) or {})}.items()
        }
        common = {field: value for field, value in self.fields.items() if field not in _NOT_COMMON}
        common |= {field: value for field, value in own.items() if field not in own_fields}
        if not self.has_quirks:
            return quirks_apart({**flat, **common})
        quirks = {**self.fields["quirks"], **(own.get("quirks") or {})}
        return {**flat, **common, **flat_quirks(quirks, inversion, method)}

    @property
    def has_quirks(self) -> bool:
        """Whether quirks are a section of their own; in recipes of before, they are among other settings."""
        return "quirks" in self.fields

    def image_loader(self, inversion: str, method: str) -> ImageLoader:
        """The image loader of one of the pairs."""
        loader: ImageLoader = self.settings(inversion, method)["image_loader"]
        return loader

    @property
    def hash(self) -> str:
        """SHA-256 over all fields; equal recipes have equal hashes, whichever version stored them."""
        canonical = json.dumps(self._without_later_settings, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def _without_later_settings(self) -> dict[str, Any]:
        """The fields but for those whose value says the same as their absence."""
        sections = {
            section: {
                # A plugin's own settings may have the same names.
                name: _without_later(own, prefix) if registry.is_own(name) else own
                for name, own in self.fields[section].items()
            }
            for section, prefix, registry in (
                ("inversions", "inversion.", INVERSIONS),
                ("methods", "method.", METHODS),
            )
        }
        quirks = {"quirks": _without_later(self.fields["quirks"], "quirks.")} if self.has_quirks else {}
        return {**_without_later(self.fields), **sections, **quirks}

    def differences(self, other: StoredRecipe) -> list[str]:
        """Fields in which another recipe differs, as ``field: this -> other``."""
        mine, theirs = flatten(self._without_later_settings), flatten(other._without_later_settings)
        return [
            f"{key}: {mine.get(key, '(absent)')} -> {theirs.get(key, '(absent)')}"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key, _ABSENT) != theirs.get(key, _ABSENT)
        ]


def _without_later(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    named = with_former_defaults({f"{prefix}{field}": value for field, value in fields.items()})
    return {
        name.removeprefix(prefix): value
        for name, value in named.items()
        if name not in LATER_SETTINGS or value != LATER_SETTINGS[name]
    }


def pairs_of(
    inversions: Iterable[str], methods: Iterable[str], combinations: dict[str, Any] | None
) -> list[tuple[str, str]]:
    """The (inversion, method) pairs of a recipe: all, or those that ``combinations`` lists.

    >>> pairs_of(["ddim", "direct"], ["p2p"], {"direct+p2p": {}})
    [('direct', 'p2p')]
    """
    methods = list(methods)
    pairs = [(inversion, method) for inversion in inversions for method in methods]
    return [pair for pair in pairs if combinations is None or "+".join(pair) in combinations]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by their dotted keys; an empty mapping is a value."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{prefix}.{key}" if prefix else key))
    return flat or {prefix: value}

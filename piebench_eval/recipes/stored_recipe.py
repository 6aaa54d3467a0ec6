"""A recipe as plain data, as in a run folder: it names inversions, methods and editors, and imports none."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from piebench_eval.combination_names import combination_name
from piebench_eval.data.images import ImageLoader  # noqa: TC001 (pydantic reads annotations at run time)
from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_yaml_mapping
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.quirks import quirks_apart
from piebench_eval.recipes.combination import LATER_SETTINGS, flat_quirks, with_former_defaults
from piebench_eval.settings import explain_invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sized
    from pathlib import Path
    from typing import Self

_NOT_COMMON = ("plugins", "inversions", "methods", "editors", "combinations", "image_format", "quirks")
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
    editor: dict[str, Any] | None = None
    quirks: dict[str, Any] | None = None
    image_loader: ImageLoader | None = None
    output_resolution: int | None = None


class _Schema(BaseModel):
    """What can be checked of a stored recipe without the code of its inversions, methods and editors."""

    model: str
    image_format: str
    image_loader: ImageLoader
    plugins: list[str]
    inversions: _Sections
    methods: _Sections
    editors: _Sections = Field(default_factory=dict)  # absent from recipes without editors
    combinations: dict[str, _CombinationSettings] | None
    output_resolution: int | None = None
    quirks: dict[str, Any] = Field(default_factory=dict)  # absent from recipes of before it was a section

    @model_validator(mode="after")
    def _edits(self) -> Self:
        require_edits(self.inversions, self.methods, self.editors)
        return self


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
        """All (inversion, method) pairs, in order; an editor is one without an inversion."""
        return pairs_of(
            self.fields["inversions"], self.fields["methods"], self.fields["combinations"], self.editors
        )

    @property
    def editors(self) -> dict[str, dict[str, Any]]:
        """The settings of each editor; a recipe without any does not have the field."""
        editors: dict[str, dict[str, Any]] = self.fields.get("editors", {})
        return editors

    def settings(self, inversion: str, method: str) -> dict[str, Any]:
        """Every setting of one of the pairs, by the names of ``Combination.flat``."""
        own_fields = ("inversion", "method", "editor", "quirks")
        own = (self.fields["combinations"] or {}).get(combination_name(inversion, method), {})
        of_pair = {"inversions": inversion, "methods": method} if inversion else {"editors": method}
        sections = {field.removesuffix("s"): self.fields[field][name] for field, name in of_pair.items()}
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
                ("editors", "editor.", EDITORS),
            )
            if section in self.fields
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


def require_edits(inversions: Sized, methods: Sized, editors: Sized) -> None:
    """Check that a recipe makes edits: inversions with methods, editors, or both.

    Raises:
        ValueError: it does not.
    """
    if bool(inversions) != bool(methods):
        raise ValueError(f"{'methods' if inversions else 'inversions'}: must not be empty beside the other")
    if not inversions and not editors:
        raise ValueError("inversions and methods, or editors: must not be empty")


def pairs_of(
    inversions: Iterable[str],
    methods: Iterable[str],
    combinations: dict[str, Any] | None,
    editors: Iterable[str] = (),
) -> list[tuple[str, str]]:
    """The (inversion, method) pairs of a recipe: all, or those that ``combinations`` lists; then its editors.

    An editor is there whether or not it has settings of its own in ``combinations``.

    >>> pairs_of(["ddim", "direct"], ["p2p"], {"direct+p2p": {}}, ["sdedit"])
    [('direct', 'p2p'), ('', 'sdedit')]
    >>> pairs_of(["ddim"], ["p2p"], {"sdedit": {"steps": 20}}, ["sdedit"])
    [('ddim', 'p2p'), ('', 'sdedit')]
    """
    methods = list(methods)
    pairs = [(inversion, method) for inversion in inversions for method in methods]
    listed = [name for name in combinations or () if "+" in name]
    chosen = [pair for pair in pairs if not listed or combination_name(*pair) in listed]
    return [*chosen, *(("", editor) for editor in editors)]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by their dotted keys; an empty mapping is a value."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{prefix}.{key}" if prefix else key))
    return flat or {prefix: value}

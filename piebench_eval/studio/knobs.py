"""Controls of settings, generated from their pydantic models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from piebench_eval.errors import PiebenchError
from piebench_eval.quirks import own_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from piebench_eval.settings import Settings

KnobKind = Literal["switch", "choice", "whole", "number", "text"]
"""How a setting is shown; text is read as YAML where the setting is no text itself."""

_SIMPLE: dict[Any, KnobKind] = {bool: "switch", int: "whole", float: "number", str: "text"}


@dataclass(frozen=True)
class Knob:
    """One setting as a control.

    Attributes:
        name: its name among the settings of a ``Setup``: ``steps``, ``method.p2p.cross_replace_steps``.
        label: the field alone.
        kind: how it is shown.
        default: its value in the recipe.
        description: what it does.
        choices: its values, of a choice.
        minimum: its smallest value, if that is allowed itself.
        maximum: its largest, likewise.
        optional: whether it can be empty.
        is_text: whether its values are texts, not read as YAML.
        range: of a number, in words: ``above 0, at most 1``.
        is_mixed: whether what is chosen has different defaults, so that each value is a change.
    """

    name: str
    label: str
    kind: KnobKind
    default: Any
    description: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    optional: bool = False
    is_text: bool = False
    range: str = ""
    is_mixed: bool = False

    @property
    def about(self) -> str:
        """What it does, and its range."""
        return "; ".join(filter(None, [self.description, self.range]))

    @property
    def is_written(self) -> bool:
        """Whether it is shown as text: Gradio shows an empty number as 0."""
        return self.kind == "text" or (self.optional and self.kind in ("whole", "number"))

    @property
    def shown(self) -> Any:
        """The default as the control shows it."""
        return self.shown_of(self.default)

    def shown_of(self, value: Any) -> Any:
        """A value as the control shows it: numbers that can be empty as text; what is empty as ``""``."""
        if value is None and (self.is_written or self.kind == "choice"):
            return ""
        return as_yaml(value) if self.is_written and not self.is_text else value

    def value(self, shown: Any) -> Any:
        """The setting's value from what the control shows.

        Raises:
            PiebenchError: it is empty and cannot be, is of another type, no choice, or no YAML.
        """
        if self.optional and shown in (None, ""):
            return None
        if self.kind in ("whole", "number"):
            return self._number(shown)
        if self.kind == "choice" and shown not in self.choices:
            raise PiebenchError(f"{self.name}: {shown!r} is no choice; there are: {self._listed}")
        if self.kind == "switch" and not isinstance(shown, bool):
            raise PiebenchError(f"{self.name}: {shown!r} is neither on nor off")
        if self.kind == "text" and not isinstance(shown, str):
            raise PiebenchError(f"{self.name}: {shown!r} is no text")
        return _read_yaml(self.name, shown) if self.kind == "text" and not self.is_text else shown

    def shown_of_any(self, value: Any) -> Any:
        """A value as the control shows it, of a stranger who may have written a number as text.

        Raises:
            PiebenchError: the control cannot show it.
        """
        if value is None and self.optional:
            return self.shown_of(None)
        return self.shown_of(value if self.kind == "text" and not self.is_text else self.value(value))

    def _number(self, shown: Any) -> float:
        if shown in (None, "") or isinstance(shown, bool):
            raise PiebenchError(f"{self.name}: is empty; give a number")
        if self.kind == "whole" and isinstance(shown, int):
            return shown
        try:
            number = float(shown)
        except (TypeError, ValueError):
            raise PiebenchError(f"{self.name}: {shown!r} is no number") from None
        if self.kind == "number":
            return number
        if not number.is_integer():
            raise PiebenchError(f"{self.name}: {shown} is no whole number")
        return int(shown)

    @property
    def _listed(self) -> str:
        return ", ".join(map(str, self.choices))


def as_yaml(value: Any) -> str:
    """A value in one line, as ``--set`` and controls of lists read it.

    >>> as_yaml(0.8), as_yaml(None), as_yaml([1, 2]), as_yaml("x"), as_yaml("")
    ('0.8', 'null', '[1, 2]', 'x', "''")
    """
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1_000_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def knobs_of(settings: Settings, prefix: str, leave_out: Iterable[str] = ()) -> list[Knob]:
    """The controls of a section of settings, in the order of its fields.

    Args:
        settings: the section with its values in the recipe, which are the controls' defaults.
        prefix: what comes before a field's name in ``--set``: ``method.p2p.``, or nothing.
        leave_out: fields that have no control.
    """
    fields, plain = own_fields(type(settings)), settings.model_dump(mode="json")
    left_out = {*leave_out, *(field for field in fields if field not in plain)}
    return [
        _knob(field, about, plain[field], prefix) for field, about in fields.items() if field not in left_out
    ]


def changed_settings(knobs: Iterable[Knob], shown: Mapping[str, Any]) -> dict[str, Any]:
    """The settings whose controls do not show their defaults.

    Args:
        knobs: the controls.
        shown: what they show, by name; a control that is missing shows its default.

    Raises:
        PiebenchError: see ``Knob.value``.
    """
    values = [(knob, knob.value(shown[knob.name])) for knob in knobs if knob.name in shown]
    return {knob.name: value for knob, value in values if value != knob.default or knob.is_mixed}


def _knob(field: str, about: FieldInfo, default: Any, prefix: str) -> Knob:
    types, rules = _taken_apart(about.annotation)
    bounds = _bounds([*about.metadata, *rules])
    optional = NoneType in types
    types = [kind for kind in types if kind is not NoneType]
    choices = () if types == [bool] and not optional else _choices(types)
    kind: KnobKind = "text"
    if choices:
        kind = "choice"
    elif len(types) == 1:
        kind = _SIMPLE.get(types[0], "text")
    elif {*types} == {int, float}:
        kind = "number"
    minimum, maximum = bounds.get("ge"), bounds.get("le")
    if kind == "whole":  # the next one is allowed
        minimum = bounds["gt"] + 1 if minimum is None and "gt" in bounds else minimum
        maximum = bounds["lt"] - 1 if maximum is None and "lt" in bounds else maximum
    return Knob(
        name=f"{prefix}{field}",
        label=field,
        kind=kind,
        default=default,
        description=about.description or "",
        choices=choices,
        minimum=minimum,
        maximum=maximum,
        optional=optional,
        is_text=types == [str],
        range=_range(bounds) if kind in ("whole", "number") else "",
    )


def _taken_apart(annotation: Any) -> tuple[list[Any], list[Any]]:
    """The types of which a value can be, and the rules that annotations within a union add."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *rules = get_args(annotation)
        types, found = _taken_apart(inner)
        of_fields = (rule.metadata if isinstance(rule, FieldInfo) else [rule] for rule in rules)
        return types, [*found, *(rule for of_field in of_fields for rule in of_field)]
    if origin in (Union, UnionType):
        parts = [_taken_apart(part) for part in get_args(annotation)]
        return [kind for types, _ in parts for kind in types], [rule for _, rules in parts for rule in rules]
    if origin is Literal and None in get_args(annotation):
        rest = tuple(value for value in get_args(annotation) if value is not None)
        return [Literal[rest], NoneType], []
    return [annotation], []


def _choices(types: Iterable[Any]) -> tuple[Any, ...]:
    """All values of enumerations and of booleans; none if there are other types."""
    found: list[Any] = []
    for kind in types:
        if get_origin(kind) is Literal:
            found += get_args(kind)
        elif kind is bool:
            found += [True, False]
        elif isinstance(kind, type) and issubclass(kind, Enum):
            found += [member.value for member in kind]
        else:
            return ()
    return tuple(found)


def _bounds(rules: Iterable[Any]) -> dict[str, float]:
    return {name: value for rule in rules for name, value in _bounds_of(rule)}


def _bounds_of(rule: Any) -> Iterator[tuple[str, float]]:
    for name in ("ge", "gt", "le", "lt"):
        if (value := getattr(rule, name, None)) is not None:
            yield name, value


def _range(bounds: Mapping[str, float]) -> str:
    """The range of a number in words.

    >>> _range({"gt": 0, "le": 1}), _range({"ge": 0}), _range({})
    ('above 0, at most 1', 'at least 0', '')
    """
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{word} {bounds[name]:g}" for name, word in words.items() if name in bounds)


def _read_yaml(name: str, shown: str) -> Any:
    """A value of plain types, as recipes and PNGs can hold it.

    Raises:
        PiebenchError: it is no YAML, or a date or the like.
    """
    try:
        return json.loads(json.dumps(yaml.safe_load(shown), allow_nan=False))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError):
        raise PiebenchError(
            f"{name}: {shown!r} cannot be read; write it as in --set, such as [1, 2]"
        ) from None

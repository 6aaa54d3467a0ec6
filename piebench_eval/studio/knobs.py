"""Controls of settings, generated from their pydantic models."""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import yaml

from piebench_eval.errors import PiebenchError
from piebench_eval.quirks import own_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo

    from piebench_eval.settings import Settings

KnobKind = Literal["switch", "choice", "whole", "number", "text"]
"""How a setting is shown; text is read as YAML where the setting is no text itself."""

_SIMPLE: dict[Any, KnobKind] = {bool: "switch", int: "whole", float: "number"}


@dataclass(frozen=True)
class Knob:
    """One setting as a control.

    Attributes:
        name: its name in ``--set``: ``steps``, ``method.p2p.cross_replace_steps``.
        label: the field alone.
        kind: how it is shown.
        default: its value in the recipe.
        description: what it does.
        choices: its values, of a choice.
        minimum: its smallest value, if that is allowed itself.
        maximum: its largest, likewise.
        optional: whether it can be empty.
        is_text: whether its values are texts, not read as YAML.
    """

    name: str
    label: str
    kind: KnobKind
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    optional: bool = False
    is_text: bool = False

    @property
    def shown(self) -> Any:
        """The default as the control shows it."""
        return self.shown_of(self.default)

    def shown_of(self, value: Any) -> Any:
        """A value as the control shows it; an empty choice and an empty text are ``""``."""
        if self.kind == "text" and not self.is_text:
            return "" if value is None else yaml.safe_dump(value, default_flow_style=True).strip()
        return "" if value is None and self.kind in ("text", "choice") else value

    def value(self, shown: Any) -> Any:
        """The setting's value from what the control shows.

        Raises:
            PiebenchError: it is empty and cannot be, is no whole number, or is no YAML.
        """
        if self.optional and shown in (None, ""):
            return None
        if self.kind in ("whole", "number") and (shown is None or isinstance(shown, bool | str)):
            raise PiebenchError(f"{self.name}: is empty; give a number")
        if self.kind == "whole":
            if shown != int(shown):
                raise PiebenchError(f"{self.name}: {shown} is no whole number")
            return int(shown)
        if self.kind == "text" and not self.is_text:
            return _read_yaml(self.name, shown)
        return float(shown) if self.kind == "number" else shown


def knobs_of(settings: Settings, prefix: str, leave_out: Iterable[str] = ()) -> list[Knob]:
    """The controls of a section of settings, in the order of its fields.

    Args:
        settings: the section with its values in the recipe, which are the controls' defaults.
        prefix: what comes before a field's name in ``--set``: ``method.p2p.``, or nothing.
        leave_out: fields that have no control.
    """
    left_out = set(leave_out)
    return [
        _knob(field, about, getattr(settings, field), prefix)
        for field, about in own_fields(type(settings)).items()
        if field not in left_out
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
    return {knob.name: value for knob, value in values if value != knob.default}


def _knob(field: str, about: FieldInfo, default: Any, prefix: str) -> Knob:
    parts = get_args(about.annotation)
    optional = NoneType in parts
    kind_of_value = next(part for part in parts if part is not NoneType) if optional else about.annotation
    choices = get_args(kind_of_value) if get_origin(kind_of_value) is Literal else ()
    kind: KnobKind = "choice" if choices else _SIMPLE.get(kind_of_value, "text")
    bounds = {
        name: getattr(rule, name) for rule in about.metadata for name in ("ge", "le") if hasattr(rule, name)
    }
    return Knob(
        name=f"{prefix}{field}",
        label=field,
        kind=kind,
        default=default,
        description=about.description or "",
        choices=choices,
        minimum=bounds.get("ge"),
        maximum=bounds.get("le"),
        optional=optional,
        is_text=kind_of_value is str,
    )


def _read_yaml(name: str, shown: str) -> Any:
    try:
        return yaml.safe_load(shown)
    except yaml.YAMLError:
        raise PiebenchError(
            f"{name}: {shown!r} cannot be read; write it as in --set, such as [1, 2]"
        ) from None

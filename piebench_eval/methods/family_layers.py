"""Layers of the denoiser that a method names: defaults by family, since families number them differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from piebench_eval.errors import PiebenchError
from piebench_eval.models.attention import attention_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import AttentionKind, Family

Value = TypeVar("Value", int, str)


def of_family(setting: str, value: Value | None, defaults: Mapping[str, Value], family: Family) -> Value:
    """A setting's value, or its default for a family.

    Args:
        setting: its name in the method's section.
        value: what the recipe says; None if nothing.
        defaults: by the names of families.
        family: the model's.

    Raises:
        PiebenchError: the recipe says nothing, and the family has no default.

    >>> from piebench_eval.models.families import FAMILIES
    >>> of_family("start_layer", None, {"sd1": 10, "sdxl": 44}, FAMILIES["sdxl"])
    44
    """
    found = defaults.get(family.name) if value is None else value
    if found is None:
        raise PiebenchError(
            f"method.{setting}: has no default for {family.title}; choose one, by --set method.{setting}=..."
        )
    return found


def sharing_kind(family: Family) -> AttentionKind:
    """The attention in which a family's images are looked at: joint where there is one, self elsewhere."""
    return "joint" if "joint" in family.attention else "self"


def number_of_layers(model: DiffusionModel) -> int:
    """How many layers of ``sharing_kind`` a model has; 0 for one without weights."""
    if not hasattr(model.denoiser, "attn_processors"):
        return 0
    kind, of_any_size = sharing_kind(model.family), (64, 64)
    layers = attention_layers(model.denoiser, of_any_size).values()
    return sum(layer.kind == kind for layer in layers)


def missing_layer_notes(setting: str, layer: int, model: DiffusionModel) -> list[str]:
    """A note if no layer of a model comes as late as one that a method begins at.

    Args:
        setting: the setting's name in the method's section.
        layer: number of the layer among those of ``sharing_kind``.
        model: the model; nothing is known of one without weights.
    """
    count, kind = number_of_layers(model), sharing_kind(model.family)
    if not count or layer < count:
        return []
    return [
        f"{kind}-attention is the target's own everywhere: method.{setting} is {layer}, and this model's "
        f"last {kind}-attention is number {count - 1}"
    ]

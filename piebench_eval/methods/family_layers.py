"""Layers of the denoiser that a method names: defaults by family, since families number them differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import Family

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


def missing_layer_notes(setting: str, layer: int, model: DiffusionModel) -> list[str]:
    """A note if no self-attention of a model comes as late as a layer that a method begins at.

    Args:
        setting: the setting's name in the method's section.
        layer: number of the layer among the self-attentions.
        model: the model; nothing is known of one without weights.
    """
    processors = getattr(model.denoiser, "attn_processors", {})
    count = sum(".attn1." in name for name in processors)
    if not processors or layer < count:
        return []
    return [
        f"self-attention is the target's own everywhere: method.{setting} is {layer}, and this model's last "
        f"self-attention is number {count - 1}"
    ]

"""Habits of single published repositories, needed to reproduce their numbers and for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from piebench_eval.pictures import PixelOverflow  # noqa: TC001 (pydantic reads annotations at run time)
from piebench_eval.settings import MOVED_FIELDS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

SHIFTED = "shifted_reconstruction"
"""Once a value of ``inversion.source_latents``, now a quirk."""

_READ_BY = "read_by"


def _quirk(default: Any, description: str, read_by: tuple[str, ...] = ()) -> Any:
    """A field of ``Quirks``; ``read_by``: the inversions or methods that read it, all if there are none."""
    return Field(default=default, description=description, json_schema_extra={_READ_BY: list(read_by)})


class Quirks(Settings):
    """The section ``quirks`` of a recipe; its defaults are the values of a clean implementation.

    "The paper's code" is the Direct Inversion paper's repository, whose numbers Table 1 holds.
    """

    pixel_overflow: PixelOverflow = _quirk(
        "clamp",
        "grey levels outside 0..255: the nearest of them, or the remainder modulo 256 (bright and dark "
        "specks), as the paper's script of edit_friendly+p2p has them; min_max: each picture's levels are "
        "stretched to 0..255, outside or not, as FlowAlign's code saves them",
    )
    noise_on_device: bool = _quirk(
        False,
        "draw noise by the generator of the model's device, as published codes of flow models do, not by the "
        "CPU's; their other habits, half precision and going on from picture to picture, are not imitated",
    )
    added_shift: bool = _quirk(
        False,
        "encode pictures with the autoencoder's shift added behind the scale, not taken off before it, as "
        "UniEdit-Flow's version for diffusers does: the model is given other latents, and pictures come out "
        "with a constant in theirs",
    )
    count_skipped_steps: bool = _quirk(
        False,
        "a method's first step is step T_skip where edit-friendly inversion skips T_skip steps, not step 0 "
        "as in the paper's code",
    )
    split_punctuation: bool = _quirk(
        False,
        "cut each punctuation mark off before tokenising, as the paper's scripts of MasaCtrl and "
        "Plug-and-Play do, which lack ftfy: 's becomes two tokens",
        ("masactrl", "pnp"),
    )
    blend_maps: Literal["edited", "raw"] = _quirk(
        "edited",
        "the target's maps in local blend: the edited ones, as in Prompt-to-Prompt's code, which stores maps "
        "before it edits them in place, or its own",
        ("p2p", "proximal"),
    )
    lost_blend_word: Literal["edit", "reconstruct"] = _quirk(
        "edit",
        "where neither blended word is in its prompt: edit without blend, or let an empty mask turn the edit "
        "into the source branch, as the paper's code does silently",
        ("p2p", "proximal", "infedit"),
    )
    shifted_reconstruction: bool = _quirk(
        False,
        "with source_latents=reconstruction, start both branches one step too clean, as the paper's script "
        "of ddim+pnp, whose list of latents lacks the first",
        ("ddim",),
    )
    keep_brackets: bool = _quirk(
        False,
        "leave the benchmark's [ and ] in the prompts, as InfEdit's script does",
        ("infedit",),
    )
    swapped_states: bool = _quirk(
        False,
        "pair words without a counterpart by the source prompt's states at the target's places and the "
        "target prompt's at the source's, as InfEdit's code looks them up",
        ("infedit",),
    )
    rate_steps: int = Field(
        default=100,
        ge=1,
        description="steps in which the learning rate of null-text and StyleDiffusion would fall to 0, "
        "whatever the number of steps: 100 in their codes, so that it has fallen by half after 50",
        json_schema_extra={_READ_BY: ["null_text", "stylediffusion"]},
    )


class SettingsWithQuirks(Settings):
    """Settings of an inversion or a method that reads quirks.

    Attributes:
        quirks: the recipe's; they are no field of the inversion's or method's own section.
    """

    quirks: Quirks = Field(default=Quirks(), exclude=True)


def own_fields(settings: type[Settings]) -> dict[str, FieldInfo]:
    """The fields of an inversion's or a method's own section: without quirks."""
    carries = issubclass(settings, SettingsWithQuirks)
    return {name: field for name, field in settings.model_fields.items() if not carries or name != "quirks"}


def quirks_read_by(names: set[str]) -> list[str]:
    """The quirks that inversions or methods of these names read, besides those that concern every edit.

    >>> quirks_read_by({"ddim", "pnp"})
    ['split_punctuation', 'shifted_reconstruction']
    """
    return [quirk for quirk, readers in _readers().items() if readers & names]


def without_effect(names: set[str]) -> set[str]:
    """The quirks that no inversion or method of these names reads."""
    return {quirk for quirk, readers in _readers().items() if readers and not readers & names}


def quirks_apart(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A combination's settings with quirks under their present names, also where an older version wrote them.

    Args:
        settings: as in ``Combination.flat``.

    >>> quirks_apart({"steps": 50, "pixel_overflow": "wrap"})
    {'steps': 50, 'quirks.pixel_overflow': 'wrap'}
    """
    if any(key.startswith("quirks.") for key in settings):
        return dict(settings)
    apart = dict(settings)
    latents = "inversion.source_latents"
    if latents in settings:
        apart[f"quirks.{SHIFTED}"] = shifted = settings[latents] == SHIFTED
        apart[latents] = "reconstruction" if shifted else settings[latents]
    for key in settings:
        if quirk := MOVED_FIELDS.get(key.removeprefix("inversion.").removeprefix("method.")):
            apart[quirk] = apart.pop(key)
    return apart


def _readers() -> dict[str, set[str]]:
    extras: dict[str, Any] = {name: field.json_schema_extra for name, field in Quirks.model_fields.items()}
    return {name: set(extra[_READ_BY]) for name, extra in extras.items()}

"""Settings of Prompt-to-Prompt, and what they ask of a family of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.quirks import SettingsWithQuirks

if TYPE_CHECKING:
    from piebench_eval.models.families import Family


class P2PSettings(SettingsWithQuirks):
    """Settings of Prompt-to-Prompt; the defaults are the Direct Inversion paper's."""

    controller: Literal["refine", "replace", "auto", "letters", "blocks"] = Field(
        default="refine",
        description="how words are matched: refine aligns tokens, replace swaps word by word (same word "
        "count), auto replaces where the counts agree and refines elsewhere, letters replaces where "
        "they have as many letters, too, as StyleDiffusion's script does, blocks aligns runs of tokens "
        "that are equal or of equal length, as EDICT's code does",
    )
    cross_replace_steps: float = Field(
        default=0.4, ge=0, le=1, description="share of the steps that take the source's cross-attention"
    )
    self_replace_steps: float = Field(
        default=0.6, ge=0, le=1, description="share of the steps that take the source's self-attention"
    )
    self_replace_downsampling: int = Field(
        default=2,
        ge=1,
        description="self-attention is taken where the latent is downsampled at least this much: at 2, all "
        "of Stable Diffusion XL's, and at 4 that of its port (RoyiRa/prompt-to-prompt-with-sdxl)",
    )
    blend_word_weight: float = Field(
        default=2.0, ge=0, description="factor on the attention to the target's blended word (equaliser)"
    )
    local_blend: bool = Field(
        default=True, description="keep the source outside the blended word's attention"
    )
    blend_start: float = Field(
        default=0.2, ge=0, le=1, description="share of the steps before blending begins"
    )
    blend_threshold: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="share of a map's maximum above which a place belongs to the word",
    )
    blend_downsampling: int | None = Field(
        default=None,
        ge=1,
        description="cross-attention maps of this downsampling of the latent are blended with; if empty, 4, "
        "and all of joint attention's, at its only one",
    )


def family_problem(settings: P2PSettings, family: Family) -> str | None:
    """Why settings do not go with a family: joint attention is at one downsampling, its patches' side."""
    if "joint" not in family.attention:
        return None
    patch = family.latent_divisor
    only = f"{family.title} has joint attention at {patch} alone"
    if settings.local_blend and settings.blend_downsampling not in (None, patch):
        return f"method.blend_downsampling={settings.blend_downsampling}: {only}; leave it empty"
    if settings.self_replace_steps and settings.self_replace_downsampling > patch:
        return (
            f"method.self_replace_downsampling={settings.self_replace_downsampling}: {only}, so that nothing "
            f"is taken; set it to {patch}, or method.self_replace_steps=0"
        )
    return None


BLEND_DOWNSAMPLING = 4
"""Where cross-attention's maps of blended words are read by default: those of 16x16 at 512 pixels."""

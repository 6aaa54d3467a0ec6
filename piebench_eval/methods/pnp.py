"""Plug-and-Play: the target branch takes over the source's features and self-attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.data.prompts import split_punctuation
from piebench_eval.methods.base import Method, PreparedController, Prompts
from piebench_eval.registry import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.base import DiffusionModel


class PnPSettings(Settings):
    """Settings of Plug-and-Play; the defaults are its own and the Direct Inversion paper's."""

    feature_steps: float = Field(
        default=0.8, ge=0, le=1, description="share of the steps that take the source's features (tau_f)"
    )
    attention_steps: float = Field(
        default=0.5, ge=0, le=1, description="share of the steps that take its self-attention (tau_A)"
    )
    source_prompt: Literal["empty", "sample"] = Field(
        default="empty",
        description="prompt of the source branch: empty as in the paper, or the sample's; the inversion "
        "always has the sample's",
    )
    negative_prompt: str = Field(
        default="ugly, blurry, black, low res, unrealistic",
        description="what the target is guided away from",
    )
    split_punctuation: bool = Field(
        default=False,
        description="cut each punctuation mark off before tokenising, as the paper's code does "
        "without ftfy: 's becomes two tokens",
    )


def prompts(sample: Sample, settings: PnPSettings) -> Prompts:
    """The source prompt inverts, but the branch that is copied from sees an empty one."""
    source, target, negative = sample.source_prompt, sample.target_prompt, settings.negative_prompt
    if settings.split_punctuation:
        source, target, negative = (split_punctuation(text) for text in (source, target, negative))
    branch = "" if settings.source_prompt == "empty" else source
    return Prompts(inversion=source, source=branch, target=target, negative=negative)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: PnPSettings
) -> PreparedController:
    """Set up the injection of a batch; no sample needs anything of its own."""
    from piebench_eval.diffusion.words import truncation_notes
    from piebench_eval.methods.pnp_controller import PnPController

    controller = PnPController(
        len(samples),
        feature_steps=int(settings.feature_steps * steps),
        attention_steps=int(settings.attention_steps * steps),
    )
    texts = [prompts(sample, settings) for sample in samples]
    notes = [truncation_notes({"source": t.inversion, "target": t.target}, model.tokenizer) for t in texts]
    return PreparedController(controller, notes)


PNP = Method(
    title="Plug-and-Play",
    paper="Tumanyan et al., Plug-and-Play Diffusion Features for Text-Driven Image-to-Image Translation, "
    "CVPR 2023",
    equation="section 4, algorithm 1",
    settings=PnPSettings,
    prepare=prepare,
    prompts=prompts,
)

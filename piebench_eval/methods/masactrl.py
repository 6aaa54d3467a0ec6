"""MasaCtrl: the target branch's self-attention looks at the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from piebench_eval.data.prompts import dropped_word_notes, split_punctuation
from piebench_eval.diffusion import words
from piebench_eval.methods.base import Method, PreparedController, Prompts
from piebench_eval.registry import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.base import DiffusionModel


class MasaCtrlSettings(Settings):
    """Settings of MasaCtrl; the defaults are its own and the Direct Inversion paper's."""

    start_step: int = Field(
        default=4, ge=0, description="first step that looks at the source, whatever the number of steps (S)"
    )
    start_layer: int = Field(
        default=10, ge=0, description="first self-attention that does, counted over the whole UNet (L)"
    )
    source_prompt: Literal["empty", "sample"] = Field(
        default="empty",
        description="prompt of inversion and source branch: empty as in the paper, or the sample's",
    )
    split_punctuation: bool = Field(
        default=False,
        description="cut each punctuation mark off before tokenising, as the paper's code does "
        "without ftfy: 's becomes two tokens",
    )
    mask_guided: bool = Field(
        default=False,
        description="the blended word's foreground looks at the source's foreground only, background at "
        "background; needs source_prompt=sample",
    )
    mask_threshold: float = Field(
        default=0.1, ge=0, le=1, description="a place is foreground above this share of the map's range"
    )
    mask_downsampling: int = Field(
        default=4, ge=1, description="masks come from cross-attention maps of this downsampling of the latent"
    )

    @model_validator(mode="after")
    def _masks_need_words(self) -> Self:
        if self.mask_guided and self.source_prompt == "empty":
            raise ValueError("mask_guided finds a word in the source prompt; set source_prompt=sample too")
        return self


def prompts(sample: Sample, settings: MasaCtrlSettings) -> Prompts:
    """The source prompt is empty, at inversion and after it, unless the settings say otherwise."""
    source = "" if settings.source_prompt == "empty" else sample.source_prompt
    target = sample.target_prompt
    if settings.split_punctuation:
        source, target = split_punctuation(source), split_punctuation(target)
    return Prompts(inversion=source, source=source, target=target)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: MasaCtrlSettings
) -> PreparedController:
    """Find the words of the masks, if any, and set up the controller of a batch."""
    import torch

    from piebench_eval.diffusion.attention_store import AttentionStore
    from piebench_eval.methods.masactrl_controller import MasaCtrlController

    notes, found = [], {}
    for place, sample in enumerate(samples):
        texts = prompts(sample, settings)
        branches = {"source": texts.source, "target": texts.target}
        notes.append(words.truncation_notes(branches, model.tokenizer))
        if settings.mask_guided:
            notes[place] += dropped_word_notes(sample.blended_word)
            masked = _mask_words(sample, texts, model.tokenizer)
            if masked.any(axis=1).all():
                found[place] = torch.from_numpy(masked)
            else:
                notes[place].append("edited without masks, since a blended word is not in its prompt")
    of_words = torch.stack(list(found.values())).to(model.device) if found else torch.empty(0)
    controller = MasaCtrlController(len(samples), AttentionStore(list(found), of_words), settings)
    return PreparedController(controller, notes)


def _mask_words(sample: Sample, texts: Prompts, tokenizer: Any) -> NDArray[np.float32]:
    """1 at the tokens of the blended word, ``[2, tokens]`` (source, target)."""
    masked = np.zeros((2, tokenizer.model_max_length), dtype=np.float32)
    pairs = zip((texts.source, texts.target), sample.blend_words or (), strict=False)
    for branch, (prompt, word) in enumerate(pairs):
        masked[branch, words.tokens_of_word(prompt, word, tokenizer)] = 1
    return masked


MASACTRL = Method(
    title="MasaCtrl",
    paper="Cao et al., MasaCtrl: Tuning-Free Mutual Self-Attention Control for Consistent Image Synthesis "
    "and Editing, ICCV 2023",
    equation="mutual self-attention from step S and layer L on; with masks, equations 8 to 10",
    settings=MasaCtrlSettings,
    prepare=prepare,
    prompts=prompts,
)

"""The interface of an editing method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.words import truncation_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.controller import AttentionController
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import AttentionKind, Family, GuidancePolicy, Predicts
    from piebench_eval.settings import Settings


@dataclass(frozen=True)
class Prompts:
    """The texts that a method edits a sample with.

    Attributes:
        inversion: prompt of the inversion.
        source: prompt of the source branch.
        target: prompt of the target branch.
        negative: what the target branch is guided away from; an inversion with unconditional embeddings of
            its own (null-text, negative-prompt) puts them in its place.
        direction: two texts by the difference of whose embeddings, second minus first, the target's are
            moved; not at all if None.
    """

    inversion: str
    source: str
    target: str
    negative: str = ""
    direction: tuple[str, str] | None = None


def prompts_of_sample(sample: Sample, settings: Any) -> Prompts:
    """The sample's own prompts: the source prompt inverts and reconstructs, the target prompt edits."""
    return Prompts(sample.source_prompt, sample.source_prompt, sample.target_prompt)


def edits_every_sample(sample: Sample, settings: Any) -> str | None:
    """The default ``Method.problem``: None, since every sample can be edited."""
    return None


def goes_with_every_family(settings: Any, family: Family) -> str | None:
    """The default ``Method.family_problem``: None, since no setting is of some families only."""
    return None


def notes_on_prompts(texts: Sequence[Prompts], model: DiffusionModel) -> list[list[str]]:
    """For each sample, notes on prompts of its branches that are longer than the text encoders read."""
    return [
        truncation_notes({"source": text.source, "target": text.target}, model.text_tokenizers)
        for text in texts
    ]


@dataclass(frozen=True)
class PreparedController:
    """A method prepared for a batch.

    Attributes:
        controller: for the edit loop.
        notes: for each sample, notes for the user (a word that is not in the prompt, say).
    """

    controller: AttentionController
    notes: list[list[str]]


@dataclass(frozen=True)
class Method:
    """An editing method: its name in print, its settings and its functions.

    Attributes:
        title: its name in print.
        paper: where it was published.
        equation: its place in the paper.
        settings: the recipe section that it reads; every field has a default.
        prepare: ``(samples, model, steps, settings) -> PreparedController`` for a batch.
        prompts: ``(sample, settings) -> Prompts``.
        problem: ``(sample, settings)`` -> why the method cannot edit the sample, or None.
        attention: the kinds of attention layers that it takes part in: alternatives, of which a family has to
            have all kinds of one; empty if it takes part in none. A tuple of kinds is one alternative.
        policies: the ways of guidance that it works with.
        predicts: what the models predict that it works with.
        moves_latents: its controller has ``source_first``, which needs steps of one evaluation at the level.
        reads_inversion: its controller's ``features`` are kept of the inversion, which has to offer that.
        family_problem: ``(settings, family)`` -> why the settings do not go with a family of models that the
            method goes with, and the remedy; or None.
        caution: ``(guidance, source_guidance)`` -> how these scales of edit and source branch are not those
            that its authors edit with, and the remedy, for a warning at planning; or None.
    """

    title: str
    paper: str
    equation: str
    settings: type[Settings]
    prepare: Callable[[Sequence[Sample], Any, int, Any], PreparedController]
    prompts: Callable[[Sample, Any], Prompts] = prompts_of_sample
    problem: Callable[[Sample, Any], str | None] = edits_every_sample
    attention: tuple[tuple[AttentionKind, ...], ...] = (("self", "cross"),)
    policies: tuple[GuidancePolicy, ...] = ("classifier_free", "embedded")
    predicts: tuple[Predicts, ...] = ("epsilon", "velocity")
    moves_latents: bool = False
    reads_inversion: bool = False
    family_problem: Callable[[Any, Family], str | None] = goes_with_every_family
    caution: Callable[[float, float], str | None] | None = None

    def __post_init__(self) -> None:
        """Read kinds that are not in alternatives, as plugins give them, as the only alternative."""
        if any(isinstance(kind, str) for kind in self.attention):
            object.__setattr__(self, "attention", (self.attention,))

    def takes_part_in(self, kinds: Sequence[AttentionKind]) -> bool:
        """Whether a denoiser with layers of these kinds has what the method takes part in."""
        return not self.attention or any(set(needed) <= set(kinds) for needed in self.attention)

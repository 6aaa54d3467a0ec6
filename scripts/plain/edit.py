"""Edit from the encoded image to the edited latents, pass by pass as in the published scripts."""

from dataclasses import dataclass, field
from typing import Any

import torch

from piebench_eval.data.sample import Sample
from piebench_eval.diffusion.schedules import Schedule
from piebench_eval.methods import METHODS
from piebench_eval.methods.word_plan import plan_words
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.recipes.combination import Combination
from scripts.plain import walks
from scripts.plain.controls import P2P, Control, Layers, MasaCtrl, PlugAndPlay
from scripts.plain.model import PlainModel


@dataclass
class Inverted:
    """What an inversion found.

    Latents by level, and per step (from level 1 up) what unconditional rows are conditioned on, if it is
    another than the method's, and the noise to add, if any; offsets of the source, by level.
    """

    levels: Any
    unconds: list[Conditioning] | None = None
    maps: list[torch.Tensor] | None = None
    offset: dict[int, torch.Tensor] | None = None


@dataclass
class Edit:
    """One sample, one combination, and the embeddings of its prompts, each of one row."""

    model: PlainModel
    combination: Combination
    sample: Sample
    z0: torch.Tensor
    schedule: Schedule
    layers: Layers = field(default_factory=Layers)

    def __post_init__(self):
        settings = self.combination.method_settings
        prompts = METHODS.get(self.combination.method).prompts(self.sample, settings)
        self.inversion, self.source, self.target = map(
            self.model.embed, (prompts.inversion, prompts.source, prompts.target)
        )
        self.empty = self.model.embed_uncond()
        self.negative = self.model.embed(prompts.negative) if prompts.negative else self.empty
        self.guidance = self.combination.common.guidance
        self.method, self.method_settings = self.combination.method, settings
        self.is_pnp = self.method == "pnp"

    def invert(self) -> Inverted:
        name, settings = self.combination.inversion, self.combination.inversion_settings
        if name == "edit_friendly":
            return self._edit_friendly(settings)
        guidance = settings.guidance
        if (name, self.method) == ("ddim", "masactrl") and self.inversion.equals(self.empty):
            guidance = self.guidance  # from the empty prompt to itself: twice the cost, no guidance
        uncond = None if guidance == 1 else self.empty
        walked = walks.inverted(self.model, self.z0, self.schedule, self.inversion, uncond, guidance)
        found = Inverted(walked)
        if (name, self.method) == ("ddim", "p2p"):
            self._guided(found, self.source)  # null-text's loop, without an update
        elif name == "negative_prompt":
            found.unconds = [self.source] * self.schedule.steps
        elif name == "null_text":
            found.levels, found.unconds = walks.null_texts(
                self.model, walked, self.schedule, self.inversion, self.empty, self.guidance, settings
            )
        elif name == "direct" and not self.is_pnp:
            unconds = self._unconds(found)
            texts = Conditioning.cat([self.source, self.target])
            found.offset = walks.offsets(self.model, walked, self.schedule, unconds, texts, self.guidance)
        return found

    def _edit_friendly(self, settings) -> Inverted:
        skip = int(0.24 * self.schedule.steps) if settings.skip is None else settings.skip
        steps, seed = self.schedule.steps - skip, self.combination.common.seed
        levels, maps = walks.noise_maps(
            self.model, self.z0, self.schedule, steps, self.inversion, self.empty, seed
        )
        return Inverted(levels, maps=maps)

    def _unconds(self, found: Inverted) -> list[Conditioning]:
        """Per step, the unconditional rows of both branches."""
        if found.unconds is not None:
            return [Conditioning.cat([uncond, uncond]) for uncond in found.unconds]
        return [Conditioning.cat([self.empty, self.negative])] * (len(found.levels) - 1)

    def _guided(self, found: Inverted, *texts: Conditioning) -> torch.Tensor:
        """Sample some branches with guidance and no control."""
        unconds = [uncond.take(range(len(texts))) for uncond in self._unconds(found)]
        start = found.levels[len(unconds)].repeat(len(texts), 1, 1, 1)
        return walks.guided(
            self.model, start, self.schedule, unconds, Conditioning.cat(texts), self.guidance, found.maps
        )

    def reconstruct(self, found: Inverted) -> None:
        """The pass before the edit, whose result is unused."""
        direct = self.combination.inversion == "direct"
        if self.method == "masactrl" or found.maps is not None:
            self._guided(found, self.target)
        else:
            self._guided(found, *([self.source, self.target] if direct else [self.source]))

    def edit(self, found: Inverted) -> torch.Tensor:
        """Edited latents ``[1, 4, h, w]``."""
        if self.is_pnp:
            return self._plug_and_play(found)
        self.reconstruct(found)
        settings = self.method_settings
        return walks.both_branches(
            self.model,
            found.levels[len(found.levels) - 1],
            self.schedule,
            self._unconds(found),
            Conditioning.cat([self.source, self.target]),
            [1.0 if found.maps is not None else self.guidance, self.guidance],
            self._control(),
            found.offset,
            found.maps,
            settings.quantile if self.method == "proximal" else None,
        )[1:]

    def _control(self) -> Control:
        if self.method == "masactrl":
            return MasaCtrl(self.method_settings, self.layers)
        tokenizer = self.model.texts.tokenizer
        tokenizers = [(tokenizer, tokenizer.model_max_length)]
        plan = plan_words(self.sample, tokenizers, self.method_settings)
        return P2P(plan, self.method_settings, self.schedule.steps, self.z0.shape[-1], self.z0.device)

    def _plug_and_play(self, found: Inverted) -> torch.Tensor:
        steps = len(found.levels) - 1
        start, sources = found.levels[steps], found.levels
        outputs = walks.unguided(self.model, start, self.schedule, steps, self.inversion)
        if self.combination.inversion == "ddim":
            # The script's list lacks the first latent, so everything is a step too clean.
            start, sources = outputs[0], {steps - i: output for i, output in enumerate(outputs)}
        return walks.beside_a_source(
            self.model,
            start,
            sources,
            self.schedule,
            [uncond.take([1]) for uncond in self._unconds(found)],
            Conditioning.cat([self.source, self.target]),
            self.guidance,
            PlugAndPlay(self.method_settings, self.layers, self.schedule.steps),
            found.maps,
        )


@torch.no_grad()
def plain_edit(
    model: PlainModel,
    combination: Combination,
    sample: Sample,
    z0: torch.Tensor,
    schedule: Schedule,
    layers: Layers | None = None,
) -> torch.Tensor:
    """Edited latents ``[1, 4, h, w]`` of one sample whose encoded picture is ``z0``, same shape.

    ``layers``: where methods act, if their settings do not say; as in Stable Diffusion 1.x by default.

    Raises:
        ValueError: a setting whose equations are not written here.
    """
    refuse_unwritten(combination)
    edit = Edit(model, combination, sample, z0, schedule, layers or Layers())
    return edit.edit(edit.invert())


def refuse_unwritten(combination: Combination) -> None:
    """The paper's settings are written, and numbers in their place; not other ways."""
    settings = combination.flat()
    shifted = settings.get("quirks.shifted_reconstruction", False)
    unwritten = {
        "inversion.source_latents": combination.inversion == "ddim"
        and shifted != (combination.method == "pnp"),
        "inversion.scale": settings.get("inversion.scale", 1) != 1,
        "inversion.interval": settings.get("inversion.interval", 1) != 1,
        "quirks.blend_maps": settings.get("quirks.blend_maps", "edited") != "edited",
        "method.mask_guided": bool(settings.get("method.mask_guided")),
        "method.shrink": settings.get("method.shrink", "soft") != "soft",
        "quirks.count_skipped_steps": combination.common.quirks.count_skipped_steps,
    }
    if named := [name for name, unfit in unwritten.items() if unfit]:
        raise ValueError(f"{combination.name}: {', '.join(named)}: the plain implementation has the paper's")

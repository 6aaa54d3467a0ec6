"""StyleDiffusion: texts of cross-attention's values are learned until sampling follows the inversion."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.null_text import LossScale, skipped_notes, to_host_list
from piebench_eval.quirks import SettingsWithQuirks
from piebench_eval.tensors import take

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.mapping_network import MappingNetwork
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.conditioning import Conditioning

COMPARED_DOWNSAMPLING = 4
"""Whose cross-attention maps are compared: those of 16x16 at 512 pixels."""


class StyleDiffusionSettings(SettingsWithQuirks):
    """Settings of StyleDiffusion; the defaults are those of its paper's code."""

    image_encoder: str = Field(
        default="openai/clip-vit-base-patch16",
        description="directory or hub id of the CLIP whose image encoder reads the pictures; its tokens are "
        "as wide as those of the model's text",
    )
    inner_steps: int = Field(
        default=100, ge=1, description="updates of the mapping network in the first step, at most"
    )
    inner_decay: float = Field(
        default=0.1,
        ge=0,
        description="by the exponential of which they grow fewer from step to step, whatever the number of "
        "steps; rounded up",
    )
    learning_rate: float = Field(
        default=1e-2, gt=0, description="of Adam at the first step; falls from there"
    )
    stop_loss: float = Field(default=1e-5, ge=0, description="a step's updates end below this loss ...")
    stop_loss_growth: float = Field(default=2e-5, ge=0, description="... plus this for every earlier step")
    value_steps: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the steps in which the target's values are made of its prompt as learned for "
        "the source's; the source's are in all steps",
    )

    def updates(self, index: int) -> int:
        """Updates in a step, at most, by its number from the noise."""
        return math.ceil(self.inner_steps * math.exp(-self.inner_decay * index))


def stylediffusion(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: StyleDiffusionSettings
) -> InversionResult:
    """Invert by DDIM, then train for each step a network that maps the picture to values' texts."""
    import torch

    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.value_texts import ValueTexts

    pictures = model.image_tokens(inputs.pictures or [], settings.image_encoder)

    def learn() -> dict[str, torch.Tensor]:
        # One by one: training multiplies the last digits of a batch's rows, so that each sample would end
        # elsewhere in every batch.
        of_samples = [
            learn_values(_Begin.of(model, inputs, place), picture, schedule, settings)
            for place, picture in enumerate(pictures)
        ]
        return {name: torch.cat([found[name] for found in of_samples], dim=1) for name in of_samples[0]}

    determinants = {
        "schedule": schedule.key,
        "guidance": asdict(inputs.guidance),
        "seed": inputs.seed,
        "rate_steps": settings.quirks.rate_steps,
        "settings": settings.model_dump(exclude={"image_encoder", "value_steps"}),
    }
    texts = [*inputs.inversion_embeds.parts, *inputs.uncond_embeds.parts]
    found = model.cached("stylediffusion", learn, determinants, [inputs.latents, pictures, *texts], axis=1)
    scales, shifts = found["learned"].unbind(2)
    # As the published code compares a step's number with the share.
    target_steps = math.ceil(settings.value_steps * schedule.steps)
    return InversionResult(
        found["latents"],
        "replayed",
        values=ValueTexts(scales, shifts, target_steps),
        notes=[skipped_notes("StyleDiffusion", count) for count in to_host_list(found["skipped"][0])],
    )


@dataclass(frozen=True)
class _Begin:
    """One sample of a batch, which is trained by itself: all tensors have one row.

    Attributes:
        model: the model.
        owner: the sample's place in the batch, for which evaluations are counted.
        latents: the encoded image.
        text: the prompt that it is inverted with.
        uncond: what its unconditional row is conditioned on.
        guidance: scale of the source branch.
        seed: what the network's first weights are drawn by.
    """

    model: DiffusionModel
    owner: int
    latents: torch.Tensor
    text: Conditioning
    uncond: Conditioning
    guidance: float
    seed: int

    @classmethod
    def of(cls, model: DiffusionModel, inputs: EditInputs, place: int) -> _Begin:
        """The sample at a place of the batch."""
        texts = inputs.inversion_embeds.take([place]), inputs.uncond_embeds.take([place])
        scale, seed = inputs.guidance.of_source, inputs.seed
        return cls(model, place, take(inputs.latents, [place]), *texts, scale, seed)

    def predict(self, latents: torch.Tensor, timestep: float, text: Conditioning) -> torch.Tensor:
        """Evaluate the model at latents ``[1, 4, h, w]``."""
        return self.model.predict(latents, timestep, text, [self.owner])

    def inverted(self, schedule: Schedule) -> list[torch.Tensor]:
        """Invert by DDIM, unguided: the latents of every level, from level 0 (the image) on."""
        import torch

        found = [self.latents]
        with torch.no_grad():
            for level in range(1, schedule.steps + 1):
                noise = self.predict(found[-1], schedule.timestep(level), self.text)
                found.append(schedule.inverse_step(found[-1], noise, level))
        return found


def learn_values(
    sample: _Begin, picture: torch.Tensor, schedule: Schedule, settings: StyleDiffusionSettings
) -> dict[str, torch.Tensor]:
    """Train each step's mapping network, from the noise to the image (section 3.2).

    Every step goes on from the network of the step before it.

    Args:
        sample: what is inverted.
        picture: tokens of the picture ``[tokens, width]``.
        schedule: the noise schedule.
        settings: the inversion's section of the recipe.

    Returns:
        ``latents`` that sampling reaches ``[steps + 1, 1, 4, h, w]``; scale and shift that were ``learned``
        for each step ``[steps, 1, 2, 77, width]``, entry k for the step between levels k and k + 1; and how
        many updates were ``skipped`` ``[1, 1]``.
    """
    import torch

    from piebench_eval.diffusion.mapping_network import MappingNetwork

    collector, tokens = MapCollector(), (len(picture), sample.text.tokens.shape[1])
    network = MappingNetwork(*tokens, sample.seed, picture.device)
    scale = LossScale.of_model(sample.model.denoiser, sample.latents)
    height, width = sample.latents.shape[-2:]
    with sample.model.attention_through(collector, (height, width)):
        target = sample.inverted(schedule)
        maps = collector.by_call(schedule.steps)
        reached, learned = [target[-1]], []
        for index, level in enumerate(reversed(range(1, schedule.steps + 1))):
            with torch.no_grad():
                uncond = sample.predict(reached[-1], schedule.timestep(level), sample.uncond)
            step = ValueStep(sample, reached[-1], uncond, schedule, level, collector)
            # The maps of this level's latents, which the inversion evaluated at the next level's time; of the
            # noisiest level, which it did not evaluate, those of the one below.
            wanted = Wanted(target[level - 1], maps[min(level, schedule.steps - 1)])
            train(step, network, picture, wanted, index, settings, scale)
            with torch.no_grad():
                learned.append(network(picture)[None])
                reached.append(step.taken(learned[-1])[0])
    found = {"latents": torch.stack(reached[::-1]), "learned": torch.stack(learned[::-1])}
    return {**found, "skipped": scale.skipped[None]}


@dataclass
class MapCollector:
    """An attention hook that computes plain attention and keeps the cross-attention maps that are compared.

    Attributes:
        maps: those since it was last emptied, each ``[rows, heads, positions, tokens]``, float32.
    """

    maps: list[torch.Tensor] = field(default_factory=list)

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """See ``AttentionHook``."""
        from piebench_eval.models.attention import attention_maps, plain_attention

        if layer.kind == "cross" and layer.downsampling == COMPARED_DOWNSAMPLING:
            self.maps.append(attention_maps(query, key))
        return plain_attention(query, key, value)

    def by_call(self, calls: int) -> list[list[torch.Tensor]]:
        """The maps of each of so many calls of the model, which are forgotten."""
        layers, maps, self.maps = len(self.maps) // calls, self.maps, []
        return [maps[call * layers : (call + 1) * layers] for call in range(calls)]


@dataclass(frozen=True)
class Wanted:
    """What a step should end at, and what its conditional row should attend to.

    Attributes:
        latents: of the level below ``[1, 4, h, w]``.
        maps: by layer, each ``[1, heads, positions, tokens]``.
    """

    latents: torch.Tensor
    maps: list[torch.Tensor]

    def loss(self, latents: torch.Tensor, maps: list[torch.Tensor]) -> torch.Tensor:
        """Mean squared errors of the latents and of each layer's maps, added up."""
        from torch.nn import functional

        pairs = zip(maps, self.maps, strict=True)
        return sum(
            (functional.mse_loss(found, wanted) for found, wanted in pairs),
            functional.mse_loss(latents, self.latents),
        )


@dataclass(frozen=True)
class ValueStep:
    """A guided step of the source branch, as a function of what its values are made of."""

    sample: _Begin
    latents: torch.Tensor
    uncond: torch.Tensor
    schedule: Schedule
    level: int
    collector: MapCollector

    def taken(self, learned: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The latents after the step ``[1, 4, h, w]``, and the conditional row's maps.

        Args:
            learned: scale and shift ``[1, 2, 77, width]``.
        """
        from piebench_eval.diffusion.guidance import guide

        text, (scale, shift) = self.sample.text, learned.unbind(1)
        self.collector.maps = []
        cond = self.sample.predict(
            self.latents,
            self.schedule.timestep(self.level),
            text.with_values(text.tokens * scale + shift),
        )
        maps, self.collector.maps = self.collector.maps, []
        noise = guide(self.uncond, cond, self.sample.guidance)
        return self.schedule.step(self.latents, noise, self.level), maps


def train(
    step: ValueStep,
    network: MappingNetwork,
    picture: torch.Tensor,
    wanted: Wanted,
    index: int,
    settings: StyleDiffusionSettings,
    scale: LossScale,
) -> None:
    """Train a network until its step ends close enough to the wanted latents and maps.

    The update by the loss that ends its training is kept, and one whose gradient is not finite is left out.

    Args:
        step: the step, as a function of what the network returns.
        network: the network, which is changed.
        picture: what it is given ``[tokens, width]``.
        wanted: what the step should end at.
        index: the step's number, from the noise.
        settings: the inversion's section of the recipe.
        scale: of the losses, kept from step to step.
    """
    import torch

    rate = settings.learning_rate * max(0.0, 1 - index / settings.quirks.rate_steps)
    enough = settings.stop_loss + settings.stop_loss_growth * index
    optimizer = torch.optim.Adam(network.parameters.values(), lr=rate)
    for _ in range(settings.updates(index)):
        with torch.enable_grad():
            learned = network(picture)[None]
            loss, gradient = loss_and_gradient(step, learned.detach(), wanted, scale)
        # The host waits for the device here, once per update.
        found, finite = to_host_list(torch.stack([loss, scale.finite(gradient, [0])[0].to(loss)]))
        if finite:
            optimizer.zero_grad()
            torch.autograd.backward(learned, gradient)
            optimizer.step()
        if found < enough:
            return


def loss_and_gradient(
    step: ValueStep, learned: torch.Tensor, wanted: Wanted, scale: LossScale
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of a guided step, and its gradient by what the values are made of.

    Args:
        step: the step.
        learned: scale and shift ``[1, 2, 77, width]``, float32.
        wanted: what the step should end at.
        scale: of the loss that is differentiated.

    Returns:
        Loss ``[]`` and its gradient, shape of ``learned``, float32, unscaled.
    """
    import torch

    from piebench_eval.models.fast_gradients import fast_gradients

    learned = learned.requires_grad_()
    with fast_gradients(step.sample.model.denoiser):
        loss = wanted.loss(*step.taken(learned))
        (gradient,) = torch.autograd.grad((loss * scale.factors[0]).sum(), learned)
    return loss.detach(), gradient / scale.factors[0]


STYLEDIFFUSION = Inversion(
    title="StyleDiffusion",
    paper="Li et al., StyleDiffusion: Prompt-Embedding Inversion for Text-Based Editing, 2023",
    equation="section 3.2",
    settings=StyleDiffusionSettings,
    invert=stylediffusion,
    predicts=("epsilon",),
    value_texts=True,
)

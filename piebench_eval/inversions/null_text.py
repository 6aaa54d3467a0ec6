"""Null-text inversion: the empty prompt's embedding is tuned until guided sampling follows the inversion."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import TrajectorySettings, inverted_trajectory
from piebench_eval.quirks import SettingsWithQuirks
from piebench_eval.tensors import device_index, take

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.conditioning import Conditioning
    from piebench_eval.models.unet_pass import KeptBeginning


class NullTextSettings(TrajectorySettings, SettingsWithQuirks):
    """Settings of null-text inversion; the defaults are its paper's code's."""

    inner_steps: int = Field(default=10, ge=0, description="updates of the embedding per step, at most")
    learning_rate: float = Field(
        default=1e-2, gt=0, description="of Adam at the first step; falls from there"
    )
    stop_loss: float = Field(default=1e-5, ge=0, description="a step's updates end below this loss ...")
    stop_loss_growth: float = Field(default=2e-5, ge=0, description="... plus this for every earlier step")


def null_text(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: NullTextSettings
) -> InversionResult:
    """Invert by DDIM, then find for each step the embedding whose guided step follows the inversion."""
    from piebench_eval.diffusion.loop import InversionResult

    trajectory = inverted_trajectory(model, inputs, schedule, settings)

    def optimise() -> dict[str, torch.Tensor]:
        reached, embeddings, skipped = optimise_uncond(model, inputs, trajectory, schedule, settings)
        return {"latents": reached, "embeddings": embeddings, "skipped": skipped[None]}

    determinants = {
        "schedule": schedule.key,
        "guidance": asdict(inputs.guidance),
        "rate_steps": settings.quirks.rate_steps,
        "settings": settings.model_dump(),  # apart: they have a guidance too, the inversion's
    }
    tensors = [trajectory.transpose(0, 1), *inputs.inversion_embeds.parts, *inputs.uncond_embeds.parts]
    found = model.cached("null_text", optimise, determinants, tensors, axis=1)
    return InversionResult(
        found["latents"],
        "replayed",
        uncond_embeds=[inputs.uncond_embeds.with_tokens(tokens) for tokens in found["embeddings"]],
        uncond_embeds_are_source=None if settings.inner_steps else inputs.source_is_uncond,
        notes=[skipped_notes("null-text inversion", count) for count in to_host_list(found["skipped"][0])],
    )


def skipped_notes(inversion: str, skipped: int) -> list[str]:
    """A note on updates of an inversion that were skipped."""
    if not skipped:
        return []
    return [f"{skipped} updates of {inversion} were skipped, since their gradients were not finite"]


def optimise_uncond(
    model: DiffusionModel,
    inputs: EditInputs,
    target: torch.Tensor,
    schedule: Schedule,
    settings: NullTextSettings,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Optimise the unconditional embeddings of each step, from the noise to the image (algorithm 1).

    Every step begins with the embedding of the step before it. Where a model is conditioned on more than
    tokens (SDXL's pooled embeddings), the rest stays that of the unconditional rows.

    Args:
        model: the model.
        inputs: the batch; its unconditional embeddings are where the optimisation begins.
        target: the latents that guided sampling should reach ``[steps + 1, samples, 4, h, w]``.
        schedule: the noise schedule.
        settings: the inversion's section of the recipe.

    Returns:
        The latents that it reaches, same shape; the embeddings ``[steps, samples, 77, width]``, entry k for
        the step between levels k and k + 1; and how many updates of each sample were skipped ``[samples]``.
    """
    import torch

    from piebench_eval.models.unet_pass import KeptBeginning

    embeddings, latents = inputs.uncond_embeds.tokens, target[-1]
    everyone = list(range(len(latents)))
    scale = LossScale.of_model(model.denoiser, latents)
    reached, found = [latents], []
    for index, level in enumerate(reversed(range(1, schedule.steps + 1))):
        kept = KeptBeginning()
        with torch.no_grad(), model.beginning_kept(kept, everyone):
            cond = model.predict(latents, schedule.timestep(level), inputs.inversion_embeds, everyone)
        scale_of_source = inputs.guidance.of_source
        step = SourceStep(model, latents, cond, inputs.uncond_embeds, schedule, level, scale_of_source, kept)
        embeddings = optimise_step(step, embeddings, target[level - 1], index, settings, scale)
        with torch.no_grad():
            latents = step.guided(embeddings, everyone)
        reached.append(latents)
        found.append(embeddings)
    return torch.stack(reached[::-1]), torch.stack(found[::-1]), scale.skipped


@dataclass(frozen=True)
class SourceStep:
    """A guided step of the source branch, as a function of the unconditional embeddings.

    All of its evaluations are at the same latents: ``kept`` is what they begin with, up to the first text.
    """

    model: DiffusionModel
    latents: torch.Tensor
    cond: torch.Tensor
    uncond: Conditioning
    schedule: Schedule
    level: int
    guidance: float
    kept: KeptBeginning | None = None

    def guided(self, embeddings: torch.Tensor, samples: list[int]) -> torch.Tensor:
        """The latents after the step ``[len(samples), 4, h, w]``.

        Args:
            embeddings: unconditional, ``[len(samples), 77, width]``.
            samples: places in the batch.
        """
        from piebench_eval.diffusion.guidance import guide

        latents, timestep = take(self.latents, samples), self.schedule.timestep(self.level)
        conditioning = self.uncond.take(samples).with_tokens(embeddings)
        with self.model.beginning_kept(self.kept, samples):
            uncond = self.model.predict(latents, timestep, conditioning, samples)
        noise = guide(uncond, take(self.cond, samples), self.guidance)
        return self.schedule.step(latents, noise, self.level)


def optimise_step(
    step: SourceStep,
    embeddings: torch.Tensor,
    target: torch.Tensor,
    index: int,
    settings: NullTextSettings,
    scale: LossScale | None = None,
) -> torch.Tensor:
    """Tune each sample's embedding until its step ends close enough to the target latents.

    A sample whose loss is small enough is left out of the calls that follow: it neither moves nor costs. The
    update by the loss that ends its tuning is kept, as in the reference. An update whose gradient is not
    finite is left out.

    Args:
        step: the step, as a function of the embeddings.
        embeddings: where the tuning begins ``[samples, 77, width]``.
        target: the latents that it should end at ``[samples, 4, h, w]``.
        index: the step's number, from the noise.
        settings: the inversion's section of the recipe.
        scale: of the losses, kept from step to step; a new one if None.

    Returns:
        The tuned embeddings, same shape, float32.
    """
    import torch

    scale = scale or LossScale.of_model(step.model.denoiser, step.latents)
    rate = settings.learning_rate * max(0.0, 1 - index / settings.quirks.rate_steps)
    enough = settings.stop_loss + settings.stop_loss_growth * index
    tuned = [embedding.detach().clone().requires_grad_() for embedding in embeddings]
    optimizers = [torch.optim.Adam([embedding], lr=rate) for embedding in tuned]
    moving = list(range(len(tuned)))
    for _ in range(settings.inner_steps):
        if not moving:
            break
        uncond = torch.stack([tuned[sample].detach() for sample in moving])
        losses, gradients = loss_and_gradients(step, uncond, target, moving, scale)
        # The host waits for the device here, once per update.
        of_samples = to_host_list(torch.stack([losses, scale.finite(gradients, moving).float()], dim=1))
        for place, (sample, (_, finite)) in enumerate(zip(moving, of_samples, strict=True)):
            if finite:
                tuned[sample].grad = gradients[place]
                optimizers[sample].step()
        moving = [sample for sample, (loss, _) in zip(moving, of_samples, strict=True) if loss >= enough]
    return torch.stack([embedding.detach() for embedding in tuned])


def loss_and_gradients(
    step: SourceStep, uncond: torch.Tensor, target: torch.Tensor, samples: list[int], scale: LossScale
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances of guided steps from the target latents, and their gradients by the embeddings.

    Args:
        step: the step of the whole batch.
        uncond: embeddings ``[len(samples), 77, width]``, float32.
        target: ``[samples of the batch, 4, h, w]``.
        samples: places in the batch.
        scale: of the losses that are differentiated.

    Returns:
        Mean squared errors ``[len(samples)]`` and their gradients, shape of ``uncond``, float32, unscaled.
    """
    import torch

    from piebench_eval.models.fast_gradients import fast_gradients

    factors = take(scale.factors, samples)
    with torch.enable_grad(), fast_gradients(step.model.denoiser):
        uncond = uncond.requires_grad_()
        losses = (step.guided(uncond, samples) - take(target, samples)).square().mean(dim=(1, 2, 3))
        (gradients,) = torch.autograd.grad((losses * factors).sum(), uncond)
    return losses.detach(), gradients / factors[:, None, None]


def to_host_list(values: torch.Tensor) -> list[Any]:
    """Copy a tensor to the host, for which the host waits, and convert it to a list."""
    return values.tolist()


class LossScale:
    """Factors on the losses that are differentiated (Micikevicius et al., 2018, section 3.2).

    A loss that is a mean over a latent has gradients of its size divided by the latent's number of values,
    which float16 rounds to zero; scaled by that number they fit. Factors are powers of two, so that no digit
    is lost by them. Each sample has its own: none depends on the others of its batch.

    Attributes:
        factors: what each sample's loss is multiplied with ``[samples]``, float32; halved for a sample whose
            gradient is not finite.
        skipped: how many of each sample's gradients were not finite ``[samples]``, int64.
    """

    def __init__(self, factor: float, samples: int, device: torch.device):
        import torch

        self.factors = torch.full((samples,), factor, device=device)
        self.skipped = torch.zeros(samples, dtype=torch.int64, device=device)

    @classmethod
    def of_model(cls, denoiser: Any, latents: torch.Tensor) -> LossScale:
        """The scale for a batch of latents ``[samples, 4, h, w]``; only float16 has too small a range."""
        import torch

        half = getattr(denoiser, "dtype", None) == torch.float16
        factor = 2.0 ** round(math.log2(latents[0].numel())) if half else 1.0
        return cls(factor, len(latents), latents.device)

    def finite(self, gradients: torch.Tensor, samples: list[int]) -> torch.Tensor:
        """Find gradients that cannot be used, count them and halve their samples' factors.

        Args:
            gradients: ``[len(samples), ...]``.
            samples: places in the batch.

        Returns:
            Whether each gradient can be used, bool ``[len(samples)]``.
        """
        import torch

        finite = gradients.flatten(1).isfinite().all(dim=1)
        index = device_index(samples, gradients.device)
        factors = self.factors[index]
        self.factors = self.factors.index_copy(0, index, torch.where(finite, factors, factors / 2))
        self.skipped = self.skipped.index_add(0, index, (~finite).long())
        return finite


NULL_TEXT = Inversion(
    title="Null-text inversion",
    paper="Mokady et al., Null-text Inversion for Editing Real Images, CVPR 2023",
    equation="section 3.2, algorithm 1",
    settings=NullTextSettings,
    invert=null_text,
    keeps_features=True,
)

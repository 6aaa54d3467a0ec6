"""The one loop behind every combination: two branches, source and target, down the noise levels together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from piebench_eval.diffusion.attention import AttentionHook, controlled_attention
from piebench_eval.diffusion.ddim import ddim_step, guide
from piebench_eval.diffusion.rows import Row, RowBatch, SourceReads, plan_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.backbone.backbone import Backbone
    from piebench_eval.diffusion.schedule import Schedule

_SOURCE = (Row.SOURCE_UNCOND, Row.SOURCE_COND)
_TARGET = (Row.TARGET_UNCOND, Row.TARGET_COND)


@dataclass(frozen=True)
class EditInputs:
    """A batch of samples as the model sees them.

    Attributes:
        latents: encoded pictures ``[samples, 4, h, w]``.
        source: embeddings of the source prompts ``[samples, 77, width]``.
        target: embeddings of the target prompts, same shape.
        uncond: embeddings of the empty prompt, same shape.
        guidance: classifier-free guidance scale of the edit, where an inversion prepares for it.
        seed: of each sample's noise, where an inversion draws any.
    """

    latents: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    uncond: torch.Tensor
    guidance: float = 7.5
    seed: int = 1234


@dataclass(frozen=True)
class SourcePath:
    """What an inversion found: where the source branch is at every noise level, and how both branches move.

    Attributes:
        trajectory: latents ``[steps + 1, samples, 4, h, w]``, from the image (level 0) to the latent that
            sampling starts from; it need not be the schedule's noisiest level.
        pinned: the source branch is set to the trajectory; otherwise it takes its own guided steps.
        uncond: unconditional embeddings of both branches ``[steps, samples, 77, width]``, entry k for the
            step between levels k and k + 1; those of the empty prompt if None.
        fresh_noise: noise that both branches add to their steps ``[steps, samples, 4, h, w]``, likewise;
            none if None.
    """

    trajectory: torch.Tensor
    pinned: bool
    uncond: torch.Tensor | None = None
    fresh_noise: torch.Tensor | None = None

    @property
    def steps(self) -> int:
        """Number of steps from the start of sampling to the image."""
        return len(self.trajectory) - 1


class Control(AttentionHook, Protocol):
    """What an editing method takes from the source branch, inside the UNet and after each step."""

    def source_reads(self, step: int) -> Sequence[SourceReads]:
        """What is read of the source in a step, for each sample."""
        ...

    def begin_step(self, step: int, rows: RowBatch, latent_shape: torch.Size) -> None:
        """Learn which rows the coming UNet call holds; called before each one."""
        ...

    def after_step(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the target latents after the step, given both branches' ``[samples, 4, h, w]``."""
        ...


@torch.no_grad()
def edit(
    backbone: Backbone,
    inputs: EditInputs,
    path: SourcePath,
    control: Control,
    schedule: Schedule,
    guidance: float,
) -> torch.Tensor:
    """Sample the edited latents of a batch.

    Args:
        backbone: the model.
        inputs: latents and embeddings of the batch.
        path: where the source branch goes, from an inversion.
        control: what the target takes from the source, from an editing method.
        schedule: the noise schedule.
        guidance: classifier-free guidance scale of both branches.

    Returns:
        Edited latents ``[samples, 4, h, w]``.
    """
    reads = [control.source_reads(step) for step in range(path.steps)]
    plans = [plan_rows(of_sample, path.pinned, guidance) for of_sample in zip(*reads, strict=True)]
    source = target = path.trajectory[-1]
    with controlled_attention(backbone.unet, control):
        for step, steps in enumerate(zip(*plans, strict=True)):
            level = path.steps - step
            uncond = inputs.uncond if path.uncond is None else path.uncond[level - 1]
            embeddings = {
                Row.SOURCE_UNCOND: uncond,
                Row.SOURCE_COND: inputs.source,
                Row.TARGET_UNCOND: uncond,
                Row.TARGET_COND: inputs.target,
            }
            rows = RowBatch.of_step(steps)
            control.begin_step(step, rows, target.shape[-2:])
            noise = backbone.predict_noise(
                torch.cat(
                    [(source if row in _SOURCE else target)[samples] for row, samples in rows.samples.items()]
                ),
                schedule.timesteps[level - 1],
                torch.cat([embeddings[row][samples] for row, samples in rows.samples.items()]),
                rows.owners,
            )

            alphas = schedule.alphas[level], schedule.alphas[level - 1]
            everyone = list(range(len(target)))
            fresh = None if path.fresh_noise is None else path.fresh_noise[level - 1]
            guided = _guided_noise(noise, rows, _TARGET, everyone, guidance)
            target = ddim_step(target, guided, *alphas, fresh)
            if path.pinned:
                source = path.trajectory[level - 1]
            elif moving := [sample for sample in everyone if steps[sample].moves_source]:
                guided = _guided_noise(noise, rows, _SOURCE, moving, guidance)
                source = source.index_copy(
                    0, torch.tensor(moving, device=source.device), ddim_step(source[moving], guided, *alphas)
                )
            target = control.after_step(step, source, target)
    return target


def _guided_noise(
    noise: torch.Tensor, rows: RowBatch, branch: tuple[Row, Row], samples: list[int], guidance: float
) -> torch.Tensor:
    """Combine the two halves of a branch: ``[rows, ...]`` to ``[samples, ...]``."""
    uncond, cond = branch
    conditional = noise[rows.positions(cond, samples)]
    if guidance == 1:
        return conditional
    return guide(noise[rows.positions(uncond, samples)], conditional, guidance)

"""Proximal guidance: Prompt-to-Prompt that ignores small guidance differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.diffusion.rows import SourceReads
from piebench_eval.methods.base import Method, PreparedController
from piebench_eval.methods.p2p import P2P, P2PController, prepare_parts, problem
from piebench_eval.methods.p2p_settings import P2PSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.local_blend import LocalBlend
    from piebench_eval.methods.p2p import CrossAttentionEdit, StepRanges
    from piebench_eval.models.base import DiffusionModel


class ProximalSettings(P2PSettings):
    """Settings of Prompt-to-Prompt with proximal guidance."""

    quantile: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="share of a sample's guidance differences (both branches) that counts as small",
    )
    shrink: Literal["soft", "hard"] = Field(
        default="soft",
        description="soft takes the threshold off the larger differences too, as the paper's code does "
        "though it calls the option l0; hard keeps them whole",
    )


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: ProximalSettings
) -> PreparedController:
    """Set up Prompt-to-Prompt and the threshold on top of it."""
    parts, notes = prepare_parts(samples, model, steps, settings)
    return PreparedController(ProximalController(*parts, settings), notes)


class ProximalController(P2PController):
    """Prompt-to-Prompt whose guidance differences are shrunk.

    Attributes:
        settings: the method's section of the recipe.
    """

    modifies_guidance = True
    settings: ProximalSettings

    def __init__(
        self,
        step_ranges: StepRanges,
        edit: CrossAttentionEdit,
        local_blend: LocalBlend,
        settings: ProximalSettings,
    ):
        super().__init__(step_ranges, edit, local_blend, settings)

    def source_reads(self, step: int) -> list[SourceReads]:
        """Both halves of the source at every step: its differences take part in the threshold."""
        return [
            SourceReads(uncond=True, cond=True, latent=read.latent) for read in super().source_reads(step)
        ]

    def modify_guidance(
        self, source: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Shrink both branches by a threshold that they find together."""
        import torch

        differences = torch.stack([source, target], dim=1)
        shrunk = proximal(differences, self.settings.quantile, self.settings.shrink)
        return shrunk[:, 0], shrunk[:, 1]


def proximal(differences: torch.Tensor, quantile: float, shrink: Literal["soft", "hard"]) -> torch.Tensor:
    """Set small guidance differences to zero.

    Args:
        differences: ``[samples, ...]``; each sample has its own threshold.
        quantile: the threshold is this quantile of a sample's absolute differences.
        shrink: ``soft`` moves the others towards zero by the threshold (the proximal operator of the
            L1 norm), ``hard`` leaves them (that of the L0 norm).

    >>> import torch
    >>> proximal(torch.tensor([[-4.0, 1.0, 2.0, 3.0, 0.0]]), quantile=0.5, shrink="soft")
    tensor([[-2.,  0.,  0.,  1.,  0.]])
    """
    import torch

    sizes = differences.abs().flatten(1)
    threshold = sizes.quantile(quantile, dim=1).reshape(-1, *[1] * (differences.dim() - 1))
    if shrink == "hard":
        return torch.where(differences.abs() >= threshold, differences, 0.0)
    return differences - differences.clamp(-threshold, threshold)


PROXIMAL = Method(
    title="Prompt-to-Prompt with proximal guidance",
    paper="Han et al., Improving Tuning-Free Real Image Editing with Proximal Guidance, WACV 2024",
    equation="the proximal operator, applied to the guidance difference",
    settings=ProximalSettings,
    prepare=prepare,
    problem=problem,
    attention=P2P.attention,
    family_problem=P2P.family_problem,
    policies=("classifier_free",),
)

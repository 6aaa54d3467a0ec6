"""Prompt-to-Prompt inside the UNet: which maps the target takes from the source, and when."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.models.attention import attention_maps, plain_attention

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.diffusion.local_blend import LocalBlend
    from piebench_eval.methods.p2p import P2PSettings
    from piebench_eval.models.attention import AttentionLayer


@dataclass(frozen=True)
class StepRanges:
    """The steps in which maps are taken over, as the first step after each window.

    Attributes:
        cross: cross-attention is taken in steps ``0 .. cross - 1``.
        self: self-attention, likewise.
        blend: local blend begins at this step.
    """

    cross: int
    self: int
    blend: int

    @classmethod
    def of(cls, settings: P2PSettings, steps: int) -> StepRanges:
        """Turn shares into step counts as the reference rounds them (cross counts N + 1 levels)."""
        return cls(
            cross=int(settings.cross_replace_steps * (steps + 1)),
            self=int(settings.self_replace_steps * steps),
            blend=int(settings.blend_start * steps),
        )


@dataclass(frozen=True)
class CrossAttentionEdit:
    """How the target's cross-attention maps follow from the source's, for each sample of a batch.

    Attributes:
        matrix: weight of each source token in each target token, ``[samples, tokens, tokens]``.
        taken: 1 where a target token takes the source's map, 0 where it keeps its own, ``[samples, tokens]``.
        equalizer: factor on each target token's map, ``[samples, tokens]``.
    """

    matrix: torch.Tensor
    taken: torch.Tensor
    equalizer: torch.Tensor

    def __call__(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Edit the target's maps (section 3.2, equations for word swap, new phrase and re-weighting).

        Args:
            source: the source's maps ``[samples, heads, positions, tokens]``, float32.
            target: the target's own maps, same shape.

        Returns:
            The maps that the target uses; re-weighted rows are not normalised again.
        """
        taken, equalizer = self.taken[:, None, None], self.equalizer[:, None, None]
        return (source @ self.matrix[:, None] * taken + target * (1 - taken)) * equalizer


class P2PController(AttentionController):
    """Prompt-to-Prompt in the edit loop.

    Attributes:
        windows: the steps in which maps are taken over.
        edit: the edit of cross-attention maps.
        local_blend: the blend, over the samples that have a blended word.
        settings: the method's section of the recipe.
    """

    def __init__(
        self, windows: StepRanges, edit: CrossAttentionEdit, local_blend: LocalBlend, settings: P2PSettings
    ):
        super().__init__(samples=len(edit.taken))
        self.windows = windows
        self.edit = edit
        self.local_blend = local_blend
        self.settings = settings

    def source_reads(self, step: int) -> list[SourceReads]:
        """The conditional half inside the windows; with a blend, its maps and latents to the end."""
        injecting = step < max(self.windows.cross, self.windows.self)
        blended = set(self.local_blend.samples)
        return [
            SourceReads(cond=injecting or sample in blended, latent=sample in blended)
            for sample in range(self.samples)
        ]

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention with the target's conditional rows following the source's."""
        height, width = self.latent_shape
        downsampling = isqrt(height * width // query.shape[2])
        if layer.kind == "self":
            if self.step < self.windows.self and downsampling >= self.settings.self_replace_downsampling:
                source, target = self._conditional_rows(range(self.samples))
                query, key = query.clone(), key.clone()
                query[target], key[target] = query[source], key[source]
            return plain_attention(query, key, value)
        attended = plain_attention(query, key, value)
        blending = bool(self.local_blend.samples) and downsampling == self.settings.blend_downsampling
        if self.step < self.windows.cross:
            self._attend_edited(attended, query, key, value, blending)
        elif blending:
            self._collect_maps(query, key)
        return attended

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Blend the branches."""
        return self.local_blend.blend(step, source, target)

    def _attend_edited(
        self,
        attended: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blending: bool,
    ) -> None:
        """Overwrite the target's conditional rows of ``attended`` with attention by edited maps."""
        source_maps, target_maps, target = self._maps(query, key, range(self.samples))
        edited = self.edit(source_maps, target_maps)
        attended[target] = edited.to(value.dtype) @ value[target]
        if blending:
            blended = self.local_blend.index
            kept = edited if self.settings.blend_maps == "edited" else target_maps
            self._collect(source_maps[blended], kept[blended])

    def _collect_maps(self, query: torch.Tensor, key: torch.Tensor) -> None:
        source_maps, target_maps, _ = self._maps(query, key, self.local_blend.samples)
        self._collect(source_maps, target_maps)

    def _collect(self, source_maps: torch.Tensor, target_maps: torch.Tensor) -> None:
        downsampling = self.settings.blend_downsampling
        height, width = (side // downsampling for side in self.latent_shape)
        self.local_blend.collect(source_maps, target_maps, height, width)

    def _maps(
        self, query: torch.Tensor, key: torch.Tensor, samples: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cross-attention maps of both conditional rows of the given samples, and the target's rows."""
        source, target = self._conditional_rows(samples)
        return attention_maps(query[source], key[source]), attention_maps(query[target], key[target]), target

    def _conditional_rows(self, samples: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.rows.index(Row.SOURCE_COND, samples), self.rows.index(Row.TARGET_COND, samples)

"""Prompt-to-Prompt: the target branch takes over the source's attention maps, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.local_blend import LocalBlend
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.methods.base import Method, PreparedController
from piebench_eval.methods.p2p_settings import BLEND_DOWNSAMPLING, P2PSettings, family_problem
from piebench_eval.methods.word_plan import plan_words, word_counts
from piebench_eval.models.attention import attention_maps, image_to_text_maps, plain_attention
from piebench_eval.tensors import take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: P2PSettings
) -> PreparedController:
    """Align the words of every sample's prompts and set up the controller of a batch."""
    parts, notes = prepare_parts(samples, model, steps, settings)
    return PreparedController(P2PController(*parts, settings), notes)


def prepare_parts(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: P2PSettings
) -> tuple[tuple[StepRanges, CrossAttentionEdit, LocalBlend], list[list[str]]]:
    """What a Prompt-to-Prompt controller is made of, and notes for each sample."""
    import torch

    plans = [plan_words(sample, model.text_tokenizers, settings) for sample in samples]
    blended = [place for place, plan in enumerate(plans) if plan.blend is not None]

    def stack(arrays: Sequence[Any]) -> torch.Tensor:
        return torch.stack([torch.as_tensor(array) for array in arrays]).to(model.device)

    edit = CrossAttentionEdit(
        matrix=stack([plan.matrix for plan in plans]),
        use_source_map=stack([plan.use_source_map for plan in plans]),
        equalizer=stack([plan.equalizer for plan in plans]),
    )
    step_ranges = StepRanges.of(settings, steps)
    blend_words = stack([plans[place].blend for place in blended]) if blended else torch.empty(0)
    local_blend = LocalBlend(blended, blend_words, step_ranges.blend_start, settings.blend_threshold)
    return (step_ranges, edit, local_blend), [plan.notes for plan in plans]


def problem(sample: Sample, settings: P2PSettings) -> str | None:
    """Why Prompt-to-Prompt cannot edit a sample: ``controller: replace`` needs equal word counts."""
    source, target = word_counts(sample)
    if settings.controller == "replace" and source != target:
        return (
            f"controller=replace swaps word by word, but the prompts have {source} and {target} words; "
            "use controller=auto or refine"
        )
    return None


@dataclass(frozen=True)
class StepRanges:
    """The steps in which maps are taken over, each by the step at which it ends or begins.

    Attributes:
        cross_attention_end: cross-attention is taken in steps ``0 .. cross_attention_end - 1``.
        self_attention_end: self-attention, likewise.
        blend_start: local blend begins at this step.
    """

    cross_attention_end: int
    self_attention_end: int
    blend_start: int

    @classmethod
    def of(cls, settings: P2PSettings, steps: int) -> StepRanges:
        """Turn shares into step counts as the reference rounds them (cross counts N + 1 levels)."""
        return cls(
            cross_attention_end=int(settings.cross_replace_steps * (steps + 1)),
            self_attention_end=int(settings.self_replace_steps * steps),
            blend_start=int(settings.blend_start * steps),
        )


@dataclass(frozen=True)
class CrossAttentionEdit:
    """How the target's cross-attention maps follow from the source's, for each sample of a batch.

    Attributes:
        matrix: weight of each source token in each target token, ``[samples, tokens, tokens]``.
        use_source_map: 1 where a target token takes the source's map, 0 where it keeps its own,
            ``[samples, tokens]``.
        equalizer: factor on each target token's map, ``[samples, tokens]``.
    """

    matrix: torch.Tensor
    use_source_map: torch.Tensor
    equalizer: torch.Tensor

    def take(self, samples: Sequence[int]) -> CrossAttentionEdit:
        """The edit of some of the samples."""
        return CrossAttentionEdit(
            take(self.matrix, samples), take(self.use_source_map, samples), take(self.equalizer, samples)
        )

    def over(self, tokens: int) -> CrossAttentionEdit:
        """The edit of a text of so many tokens.

        Those behind the tokenizers' own, zeros in the place of a text encoder that a model goes without, are
        taken from the same place, as padding is.
        """
        import torch
        from torch.nn import functional

        if (more := tokens - self.matrix.shape[-1]) <= 0:
            return self
        matrix = functional.pad(self.matrix, (0, more, 0, more))
        matrix[:, -more:, -more:] = torch.eye(more, device=matrix.device)
        return CrossAttentionEdit(
            matrix,
            *(functional.pad(own, (0, more), value=1) for own in (self.use_source_map, self.equalizer)),
        )

    def __call__(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Edit the target's maps (section 3.2, equations for word swap, new phrase and re-weighting).

        Args:
            source: the source's maps ``[samples, heads, positions, tokens]``, float32.
            target: the target's own maps, same shape.

        Returns:
            The maps that the target uses; re-weighted rows are not normalised again.
        """
        weight, equalizer = self.use_source_map[:, None, None], self.equalizer[:, None, None]
        return (source @ self.matrix[:, None] * weight + target * (1 - weight)) * equalizer

    def on_values(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Edit what maps attend to in place of the maps, which then need not be written out.

        Edited maps are linear in both branches' maps: what they make of values is what the source's maps make
        of the first result, plus what the target's own maps make of the second.

        Args:
            values: the target's ``[samples, heads, tokens, width]``.

        Returns:
            Values for the source's maps, and for the target's own; both as ``values``.
        """
        weight, equalizer = self.use_source_map[:, None, :, None], self.equalizer[:, None, :, None]
        weighted = values.float() * equalizer
        of_source = self.matrix[:, None] @ (weighted * weight)
        return of_source.to(values.dtype), (weighted * (1 - weight)).to(values.dtype)

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        source: torch.Tensor,
        target: torch.Tensor,
        attention: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Attention of all rows, of the target's by edited maps.

        Args:
            query: ``[rows, heads, positions, width]``.
            key: ``[rows, heads, tokens, width]``.
            value: as ``key``.
            source: each sample's row whose maps are taken.
            target: each sample's row whose maps are edited.
            attention: of each row by itself.

        Returns:
            As ``query``.
        """
        of_source, of_own = self.on_values(value[target])
        value = value.clone()
        value[target] = of_own
        attended = attention(query, key, value)
        attended[target] = attended[target] + plain_attention(query[source], key[source], of_source)
        return attended


class P2PController(AttentionController):
    """Prompt-to-Prompt in the edit loop.

    Attributes:
        step_ranges: the steps in which maps are taken over.
        edit: the edit of cross-attention maps.
        local_blend: the blend, over the samples that have a blended word.
        settings: the method's section of the recipe.
    """

    leaves_source = True

    def __init__(
        self,
        step_ranges: StepRanges,
        edit: CrossAttentionEdit,
        local_blend: LocalBlend,
        settings: P2PSettings,
    ):
        super().__init__(num_samples=len(edit.use_source_map))
        self.step_ranges = step_ranges
        self.edit = edit
        self.local_blend = local_blend
        self.settings = settings

    def source_reads(self, step: int) -> list[SourceReads]:
        """The conditional half inside the step ranges; with a blend, its maps and latents to the end."""
        injecting = step < max(self.step_ranges.cross_attention_end, self.step_ranges.self_attention_end)
        blended = set(self.local_blend.samples)
        return [
            SourceReads(cond=injecting or sample in blended, latent=sample in blended)
            for sample in range(self.num_samples)
        ]

    def reads_layer(self, step: int, layer: AttentionLayer) -> bool:
        """Attention that is taken over, and cross-attention whose maps local blend collects."""
        if self._takes_self_attention(step, layer):
            return True
        edits = step < self.step_ranges.cross_attention_end
        return layer.kind != "self" and (edits or self._blends_by(layer))

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention with the target's conditional rows following the source's."""
        if layer.kind == "joint":
            return self._attend_joint(layer, query, key, value)
        if layer.kind == "self":
            if self._takes_self_attention(self.step, layer):
                source, target = self._conditional_rows(range(self.num_samples))
                query, key = query.clone(), key.clone()
                query[target], key[target] = query[source], key[source]
            return self.own_attention(layer, query, key, value)
        return self._attend_cross(layer, query, key, value)

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Blend the branches."""
        blended = self.local_blend.blend(step, source, target)
        if self.local_blend.inside is not None:
            self.note_mask(self.local_blend.samples, self.local_blend.inside)
        return blended

    def _attend_cross(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Cross-attention whose maps follow the source's; they are written out for those who look at them."""
        edits, blends = self.step < self.step_ranges.cross_attention_end, self._blends_by(layer)
        samples = range(self.num_samples) if edits else self.local_blend.samples
        attention = partial(self.own_attention, layer)
        if edits:
            rows = self._conditional_rows(samples)
            attended = self.edit.attend(query, key, value, *rows, attention)
        else:
            attended = attention(query, key, value)
        if blends or (edits and self.observer is not None):
            source_maps, own = self._maps(query, key, samples)
            used = self.edit(source_maps, own) if edits else own
            self.note_maps(samples, used)
            if blends:
                self._collect(samples, source_maps, used, own, layer.grid)
        return attended

    def _attend_joint(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Joint attention whose maps follow the source's block by block, where the image's positions look.

        The block over the text is edited as cross-attention's maps are. That over the image is, where
        self-attention is taken, the source's: its maps, of its own queries and keys over its whole sequence.
        Blocks are taken as they are, and rows are not normalised again, as Prompt-to-Prompt's re-weighted
        ones are not. With equal prompts both blocks together are the source's maps. What the text's
        positions look at stays the target's own.
        """
        attended = plain_attention(query, key, value)
        edits = self.step < self.step_ranges.cross_attention_end
        takes_self, blends = self._takes_self_attention(self.step, layer), self._blends_by(layer)
        if not (edits or takes_self or blends):
            return attended
        samples = range(self.num_samples) if edits or takes_self else self.local_blend.samples
        source, target = self._conditional_rows(samples)
        own = used = image_to_text_maps(layer, query[target], key[target])
        if edits or blends:
            of_source = image_to_text_maps(layer, query[source], key[source])
            used = self.edit.over(own.shape[-1])(of_source, own) if edits else own
            self.note_maps(samples, used)
            if blends:
                self._collect(samples, of_source, used, own, layer.grid)
        if takes_self:
            values = value[target]
            of_text = used.to(value.dtype) @ values[:, :, layer.text]
            values[:, :, layer.text] = 0
            of_image = plain_attention(query[source][:, :, layer.image], key[source], values)
            attended[target, :, layer.image] = of_image + of_text
        elif edits:
            change = (used - own).to(value.dtype) @ value[target][:, :, layer.text]
            attended[target, :, layer.image] = attended[target, :, layer.image] + change
        return attended

    def _takes_self_attention(self, step: int, layer: AttentionLayer) -> bool:
        return (
            layer.kind != "cross"
            and step < self.step_ranges.self_attention_end
            and layer.downsampling >= self.settings.self_replace_downsampling
        )

    def _blends_by(self, layer: AttentionLayer) -> bool:
        """Whether local blend collects a layer's maps."""
        default = layer.downsampling if layer.kind == "joint" else BLEND_DOWNSAMPLING
        wanted = self.settings.blend_downsampling or default
        return bool(self.local_blend.samples) and layer.downsampling == wanted

    def _collect(
        self,
        samples: Sequence[int],
        source: torch.Tensor,
        used: torch.Tensor,
        own: torch.Tensor,
        grid: tuple[int, int],
    ) -> None:
        """Hand local blend the maps of its samples, given those of ``samples``."""
        places = [samples.index(sample) for sample in self.local_blend.samples]
        kept = used if self.settings.quirks.blend_maps == "edited" else own
        tokens = self.local_blend.words.shape[-1]  # the text may have zeros behind them
        of_source, of_target = (take(of_all, places)[..., :tokens] for of_all in (source, kept))
        self.local_blend.collect(of_source, of_target, *grid)

    def _maps(
        self, query: torch.Tensor, key: torch.Tensor, samples: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-attention maps of both conditional rows of the given samples."""
        source, target = self._conditional_rows(samples)
        return attention_maps(query[source], key[source]), attention_maps(query[target], key[target])

    def _conditional_rows(self, samples: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.rows.index(Row.SOURCE_COND, samples), self.rows.index(Row.TARGET_COND, samples)


P2P = Method(
    title="Prompt-to-Prompt",
    paper="Hertz et al., Prompt-to-Prompt Image Editing with Cross-Attention Control, ICLR 2023",
    equation="section 3.2, algorithm 1",
    settings=P2PSettings,
    problem=problem,
    prepare=prepare,
    attention=(("self", "cross"), ("joint",)),
    family_problem=family_problem,
)

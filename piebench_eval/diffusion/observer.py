"""An observer of the edit loop: it sees what is computed anyway, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.rows import Branch, Row
from piebench_eval.diffusion.word_maps import WordMaps
from piebench_eval.models.attention import attention_maps, image_to_text_maps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from piebench_eval.diffusion.inside import Inside
    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.rows import RowBatch
    from piebench_eval.models.attention import AttentionLayer

FRAMES = 8
"""Frames of a film, the first and the last among them."""

LONGEST_MAP = 64
"""Rows or columns of a word's map, at most."""

JOINT_LAYERS = 8
"""So many joint attentions are looked at, evenly spaced: their maps are of long texts, and take time."""

_CONDITIONAL = {Branch.SOURCE: Row.SOURCE_COND, Branch.TARGET: Row.TARGET_COND}


@dataclass
class Seen:
    """What is seen of a batch while it is edited; tensors stay on its device, so that no step waits for it.

    Attributes:
        words: maps of both branches' words.
        masks: by steps taken, samples and their masks ``[samples, 1, h, w]``, uint8.
        film: steps taken, and the target's latents ``[samples, channels, h, w]``.
        source_end: where the source branch ends, likewise; None before the end.
        source_is_known: for each sample, whether it does end there: it is set to the inversion's trajectory,
            or takes every step.
        source_is_picture: for each sample, whether that is where the picture was encoded to, bool
            ``[samples]``; None before the end.
        steps: sampling steps.
        taken: how many of them have been taken.
    """

    words: dict[Branch, WordMaps]
    masks: dict[int, tuple[Sequence[int], torch.Tensor]] = field(default_factory=dict)
    film: list[tuple[int, torch.Tensor]] = field(default_factory=list)
    source_end: torch.Tensor | None = None
    source_is_known: list[bool] = field(default_factory=list)
    source_is_picture: torch.Tensor | None = None
    steps: int = 0
    taken: int = 0


class EditObserver:
    """Looks inside the edits of a batch, at what the edit loop computes anyway.

    It is handed to ``edit`` and ``edit_batch``, and needs no row of the model. Maps of words, masks and a few
    latents are kept. A class of one's own can do more in ``step_ended``.

    Attributes:
        insides: what was seen of each sample, once the batch is edited.
        seen: what has been seen so far; None before the first batch.
        used_maps: samples, and the maps ``[samples, heads, positions, tokens]``, float32, by which their
            target attends to the text in the layer at hand; None where these are its own.
    """

    def __init__(self) -> None:
        self.insides: list[Inside] = []
        self.seen: Seen | None = None
        self.used_maps: tuple[Sequence[int], torch.Tensor] | None = None

    def begin_batch(
        self, source: Sequence[str], target: Sequence[str], tokenizers: Sequence[tuple[Any, int]]
    ) -> None:
        """Forget the batch before.

        Args:
            source: prompts of the source branch, one per sample.
            target: those of the target.
            tokenizers: ``DiffusionModel.text_tokenizers``.
        """
        prompts = {Branch.SOURCE: source, Branch.TARGET: target}
        self.seen = Seen({branch: WordMaps(texts, tokenizers) for branch, texts in prompts.items()})
        self.insides = []

    def begin_edit(self, latents: torch.Tensor, inverted: InversionResult, source_is_bent: bool) -> None:
        """Note where the edit starts.

        Args:
            latents: what the pictures were encoded to ``[samples, channels, h, w]``.
            inverted: from an inversion.
            source_is_bent: the method modifies the source's guidance, so that a replayed source may go
                elsewhere.
        """
        assert self.seen is not None, "a batch has begun"
        self._latents = latents
        follows = {"fixed": True, "replayed": not source_is_bent}
        self._follows_trajectory = follows.get(inverted.source_mode, False)
        self.seen.steps, self.seen.taken, self.seen.film, self.seen.masks = inverted.steps, 0, [], {}
        self.seen.source_is_known = [True] * len(latents)
        self._wanted = {round(number * inverted.steps / (FRAMES - 1)) for number in range(FRAMES)}
        self._keep_frame(inverted.trajectory[-1])

    def step_ended(self, latents: Mapping[Branch, torch.Tensor], source_moved: Sequence[int]) -> None:
        """Note where a step has led.

        Args:
            latents: of the branches, each ``[samples, channels, h, w]``.
            source_moved: the samples whose source branch has taken the step.
        """
        assert self.seen is not None, "a batch has begun"
        self.seen.taken += 1
        self._keep_frame(latents[Branch.TARGET])
        for sample in range(len(self._latents)):
            moved = self._follows_trajectory or sample in source_moved
            self.seen.source_is_known[sample] = self.seen.source_is_known[sample] and moved
        if self.seen.taken == self.seen.steps:
            end = self._of_picture(latents[Branch.SOURCE])
            self.seen.source_end = end
            self.seen.source_is_picture = (end == self._latents).flatten(1).all(dim=1)

    def note_mask(self, samples: Sequence[int], mask: torch.Tensor) -> None:
        """Note where a method edits in the step at hand.

        Args:
            samples: places in the batch.
            mask: from 0 to 1 ``[samples, 1, h, w]``.
        """
        assert self.seen is not None, "a batch has begun"
        self.seen.masks[self.seen.taken + 1] = samples, (mask.float() * 255).round().byte()

    def attended(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, rows: RowBatch, step: int
    ) -> None:
        """Add the maps of a layer that has attended to the text.

        Args:
            layer: the layer, of cross- or joint attention.
            query: ``[rows, heads, positions, width]``.
            key: ``[rows, heads, tokens, width]``.
            rows: of the call.
            step: index of the step.
        """
        import torch

        assert self.seen is not None, "a batch has begun"
        read = image_to_text_maps if layer.kind == "joint" else _cross_attention_maps
        used_samples, used = self.used_maps or ((), None)
        height, width = self._latents.shape[-2:]
        scale = min(1, LONGEST_MAP / max(height, width))
        size = round(height * scale), round(width * scale)
        with torch.no_grad():
            for branch, row in _CONDITIONAL.items():
                words = self.seen.words[branch]
                for sample in words.wants(rows.readers(row)):
                    if branch is Branch.TARGET and used is not None and sample in used_samples:
                        maps = used[used_samples.index(sample)]
                    else:  # one at a time, since maps of joint attention are large
                        index = rows.index(row, [sample])
                        maps = read(layer, query[index], key[index])[0]
                    words.add(sample, maps, layer.grid, size, step)

    def _keep_frame(self, latents: torch.Tensor) -> None:
        if self.seen is not None and self.seen.taken in self._wanted:
            self.seen.film.append((self.seen.taken, self._of_picture(latents)))

    def _of_picture(self, latents: torch.Tensor) -> torch.Tensor:
        """The channels that are decoded, in their type; a solver may have others behind them, and its own."""
        return latents[:, : self._latents.shape[1]].to(self._latents.dtype)


def _cross_attention_maps(_layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return attention_maps(query, key)

"""Mean cross-attention maps of a prompt's words (DAAM: Tang et al., What the DAAM, ACL 2023, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.inside import WordMap
from piebench_eval.diffusion.words import tokens_of_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class WordMaps:
    """Adds up one branch's cross-attention maps by the words of its prompts.

    Maps of all layers are brought to one size before they are added, as DAAM does; unlike there they are the
    mean, so that all tokens of a prompt sum to 1 at every place of a cross-attention, and to the text's share
    of a joint one.

    Attributes:
        prompts: each sample's.
        steps: for each sample, the steps whose maps were added.
    """

    def __init__(self, prompts: Sequence[str], tokenizers: Sequence[tuple[Any, int]]):
        self.prompts = prompts
        self.steps: list[set[int]] = [set() for _ in prompts]
        self._tokens = [tokens_of_each_word(prompt, tokenizers) for prompt in prompts]
        self._length = sum(length for _, length in tokenizers)
        self._matrices: dict[int, torch.Tensor] = {}
        self._sums: dict[int, torch.Tensor] = {}
        self._counts = [0] * len(prompts)

    def wants(self, samples: Sequence[int]) -> list[int]:
        """Those of the samples whose prompts have words."""
        return [sample for sample in samples if self._tokens[sample]]

    def add(
        self, sample: int, maps: torch.Tensor, grid: tuple[int, int], size: tuple[int, int], step: int
    ) -> None:
        """Add one layer's maps of a sample.

        Args:
            sample: its place in the batch.
            maps: ``[heads, positions, tokens]``, float32; tokens behind the tokenizers' own are of no word.
            grid: rows and columns of the positions.
            size: rows and columns of all sums.
            step: index of the step.
        """
        from torch.nn import functional

        of_tokens = maps.mean(dim=0)[:, : self._length]
        of_words = (of_tokens @ self._matrix(sample, of_tokens)).T.unflatten(1, grid)
        # Bilinear weights sum to 1, with antialiasing too: so do a place's shares afterwards.
        resized = functional.interpolate(of_words[None], size=size, mode="bilinear", antialias=True)[0]
        self._sums[sample] = resized + self._sums[sample] if sample in self._sums else resized
        self._counts[sample] += 1
        self.steps[sample].add(step)

    def of_sample(self, sample: int) -> list[WordMap]:
        """The means of a sample's words, on the host; none if no map was added."""
        if sample not in self._sums:
            return []
        means = (self._sums[sample] / self._counts[sample]).cpu().numpy()
        return [WordMap(*pair) for pair in zip(self.prompts[sample].split(), means, strict=True)]

    def _matrix(self, sample: int, maps: torch.Tensor) -> torch.Tensor:
        """1 where a token is of a word ``[tokens, words]``, where the maps are."""
        import torch

        if sample not in self._matrices:
            matrix = torch.zeros(maps.shape[-1], len(self._tokens[sample]))
            for word, tokens in enumerate(self._tokens[sample]):
                matrix[tokens, word] = 1
            self._matrices[sample] = matrix.to(maps.device)
        return self._matrices[sample]


def tokens_of_each_word(prompt: str, tokenizers: Sequence[tuple[Any, int]]) -> list[list[int]]:
    """Positions of each word's tokens in a text that several tokenizers make, one behind the other.

    Args:
        prompt: the text.
        tokenizers: ``DiffusionModel.text_tokenizers``.

    Returns:
        For each word of ``prompt.split()`` its positions.
    """
    found: list[list[int]] = [[] for _ in prompt.split()]
    begin = 0
    for tokenizer, length in tokenizers:
        for places, tokens in zip(found, tokens_of_words(prompt, tokenizer, length), strict=True):
            places += [begin + token for token in tokens]
        begin += length
    return found

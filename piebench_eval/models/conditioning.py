"""What a call of a diffusion model is conditioned on, besides latents and time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from piebench_eval.tensors import take, writes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VALUES = "values"
"""Name of the vectors that are tokens for the values of cross-attention."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Text embeddings, and whatever else each row of a call is conditioned on.

    All parts have one entry per row and are float32: what is optimised or added up between calls has all its
    digits, whatever the model's precision.

    Attributes:
        tokens: embeddings of a prompt's tokens ``[rows, tokens, width]``.
        pooled: embeddings of whole prompts ``[rows, width]``; None where the model takes none.
        vectors: further vectors by name, each ``[rows, ...]``: SDXL's ``time_ids`` (Podell et al., 2023,
            section 2.2), the ``guidance`` scale that a distilled model takes as an input, the tokens of
            ``values``, see ``with_values``.

    >>> import torch
    >>> pair = Conditioning(torch.zeros(2, 77, 8), pooled=torch.ones(2, 4))
    >>> len(pair), pair.take([1]).pooled.shape
    (2, torch.Size([1, 4]))
    """

    tokens: torch.Tensor
    pooled: torch.Tensor | None = None
    vectors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    _converted: dict[torch.dtype, tuple[object, torch.Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def parts(self) -> list[torch.Tensor]:
        """All tensors, each ``[rows, ...]``, in one order: what cache keys are made of."""
        pooled = [] if self.pooled is None else [self.pooled]
        return [self.tokens, *pooled, *(self.vectors[name] for name in sorted(self.vectors))]

    def take(self, rows: Sequence[int]) -> Conditioning:
        """The given rows; the object itself if these are all of them, in order."""
        if list(rows) == list(range(len(self))):
            return self
        pooled = None if self.pooled is None else take(self.pooled, rows)
        vectors = {name: take(vector, rows) for name, vector in self.vectors.items()}
        return Conditioning(take(self.tokens, rows), pooled, vectors)

    def tokens_as(self, dtype: torch.dtype) -> torch.Tensor:
        """The tokens in a type: the same tensor at every call until they are written to.

        Not if they are differentiated by.
        """
        if self.tokens.requires_grad:
            return self.tokens.to(dtype)
        written, (of, known) = writes(self.tokens), self._converted.get(dtype, (None, self.tokens))
        if of != written:
            known = self.tokens.to(dtype)
            self._converted[dtype] = written, known
        return known

    def with_tokens(self, tokens: torch.Tensor) -> Conditioning:
        """The same with other embeddings of the tokens, shape of ``tokens``."""
        return replace(self, tokens=tokens)

    def with_values(self, tokens: torch.Tensor) -> Conditioning:
        """The same with other tokens for cross-attention's values, shape of ``tokens``; keys keep theirs."""
        return replace(self, vectors={**self.vectors, VALUES: tokens})

    def with_guidance(self, scale: float) -> Conditioning:
        """The same with a guidance scale in every row, for models that take it as an input."""
        scales = torch.full((len(self),), scale, device=self.tokens.device)
        return replace(self, vectors={**self.vectors, "guidance": scales})

    def equals(self, other: Conditioning) -> bool:
        """Whether all parts are the same, number by number."""
        parts, others = self.parts, other.parts
        return len(parts) == len(others) and all(map(torch.equal, parts, others))

    @staticmethod
    def cat(batches: Sequence[Conditioning]) -> Conditioning:
        """The rows of several batches, one after another.

        Raises:
            ValueError: they do not have the same parts.
        """
        if len(batches) == 1:
            return batches[0]
        first = batches[0]
        kinds = {(batch.pooled is None, frozenset(batch.vectors)) for batch in batches}
        if len(kinds) > 1:
            raise ValueError(f"conditionings of different parts cannot be one batch: {kinds}")
        pooled = [batch.pooled for batch in batches if batch.pooled is not None]
        return Conditioning(
            torch.cat([batch.tokens for batch in batches]),
            torch.cat(pooled) if pooled else None,
            {name: torch.cat([batch.vectors[name] for batch in batches]) for name in first.vectors},
        )

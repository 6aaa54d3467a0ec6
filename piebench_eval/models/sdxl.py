"""Stable Diffusion XL: two text encoders, pooled embeddings, and the image's size as a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.clip_pair import embed_one_by_one, encode_by_both
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.sd1 import padded_tokens
from piebench_eval.models.unet_pass import row_places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from piebench_eval.models.families import Family


@dataclass(kw_only=True)
class StableDiffusionXL(DiffusionModel):
    """Stable Diffusion XL (Podell et al., ICLR 2024), its finetunes and SDXL-Turbo.

    Attributes:
        unet: ``UNet2DConditionModel``.
        text_encoder: ``CLIPTextModel``.
        text_encoder_2: ``CLIPTextModelWithProjection``.
        tokenizer_2: ``CLIPTokenizer`` of the second; both have the same tokens, and pad differently.
        zeros_for_empty_prompt: unconditional rows are conditioned on zeros, not on the empty prompt.
    """

    family: ClassVar[Family] = FAMILIES["sdxl"]
    unet: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer_2: Any
    zeros_for_empty_prompt: bool = True

    @classmethod
    def from_parts(cls, index: Mapping[str, Any], **parts: Any) -> Self:
        """As in ``DiffusionModel``."""
        return cls(zeros_for_empty_prompt=index.get("force_zeros_for_empty_prompt", True), **parts)

    @property
    def denoiser(self) -> Any:
        """The UNet."""
        return self.unet

    @property
    def text_encoders(self) -> dict[str, Any]:
        """Both of CLIP's text encoders."""
        return {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2}

    def row_places(self) -> list[str]:
        """The UNet's residual blocks and attention layers."""
        return row_places(self.unet)

    @property
    def uncond_is_empty_prompt(self) -> bool:
        """Whether ``embed_uncond`` is the embedding of the empty prompt."""
        return not self.zeros_for_empty_prompt

    def embed_prompts(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """Encode prompts by both encoders, padded and truncated to the tokenizers' length.

        Returns:
            The last but one hidden states of both, one beside the other, tokens ``[prompts, 77, width]``; the
            second's projected embedding, pooled ``[prompts, width]``; and ``time_ids [prompts, 6]``: original
            size, crop and target size (section 2.2), as of an image that was neither resized nor cropped.
        """
        tokens, pooled = embed_one_by_one(prompts, self._embed)
        return Conditioning(tokens, pooled, {"time_ids": self._time_ids(len(prompts), size)})

    def embed_uncond(self, count: int, size: tuple[int, int] | None = None) -> Conditioning:
        """Zeros, or the empty prompt where the model's ``model_index.json`` says so."""
        empty = self.embed_prompts([""] * count, size)
        if not self.zeros_for_empty_prompt or empty.pooled is None:
            return empty
        return Conditioning(torch.zeros_like(empty.tokens), torch.zeros_like(empty.pooled), empty.vectors)

    @torch.no_grad()
    def _embed(self, prompt: str) -> dict[str, torch.Tensor]:
        ids = [padded_tokens(tokenizer, prompt) for tokenizer in (self.tokenizer, self.tokenizer_2)]

        def encode() -> dict[str, torch.Tensor]:
            self.place_text_encoders(self.device)
            states, (_, second) = encode_by_both([*self.text_encoders.values()], ids, self.device)
            return {"tokens": states, "pooled": second.text_embeds.float()}

        return self.cached("text", encode, {}, ids)

    def _time_ids(self, count: int, size: tuple[int, int] | None) -> torch.Tensor:
        height, width = size or (self.native_resolution,) * 2
        ids = [torch.full((count, 1), number) for number in (height, width, 0, 0, height, width)]
        return torch.cat(ids, dim=1).float().to(self.device)

    def denoise(self, latents: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Call the UNet."""
        dtype = self.dtype
        assert conditioning.pooled is not None, "embed_prompts makes pooled embeddings"
        added = {
            "text_embeds": conditioning.pooled.to(dtype),
            "time_ids": conditioning.vectors["time_ids"].to(dtype),
        }
        return self.network(
            latents.to(dtype),
            time,
            conditioning.tokens_as(dtype),
            added_cond_kwargs=added,
            return_dict=False,
        )[0]

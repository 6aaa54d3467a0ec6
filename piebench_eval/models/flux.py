"""FLUX.1: a transformer over the tokens of text and picture, conditioned on T5 and CLIP's pooled output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.clip_pair import embed_one_by_one
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.location import side_of_longest
from piebench_eval.models.packing import packed, unpacked
from piebench_eval.models.sd1 import padded_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.models.families import Family


@dataclass(kw_only=True)
class Flux(DiffusionModel):
    """FLUX.1-dev, which takes a guidance scale as an input, and FLUX.1-schnell, which takes none.

    Latents are unpacked everywhere but in a call of the transformer, ``[rows, 16, h, w]``.

    Attributes:
        transformer: ``FluxTransformer2DModel``.
        text_encoder: ``CLIPTextModel``.
        text_encoder_2: ``T5EncoderModel``.
        tokenizer_2: ``T5Tokenizer``.
        clip_length: how many of CLIP's tokens a prompt has, padded or truncated; the tokenizer's if None.
        t5_length: the same of T5's; 512 if None.
    """

    family: ClassVar[Family] = FAMILIES["flux"]
    transformer: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer_2: Any
    clip_length: int | None = None
    t5_length: int | None = None

    @property
    def denoiser(self) -> Any:
        """The transformer."""
        return self.transformer

    @property
    def text_encoders(self) -> dict[str, Any]:
        """CLIP's and T5's."""
        return {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2}

    @property
    def text_tokenizers(self) -> list[tuple[Any, int]]:
        """T5's alone: of CLIP, the transformer has one embedding of the whole prompt."""
        return [(self.tokenizer_2, self.t5_length or self.family.t5_length)]

    @property
    def prompt_tokenizers(self) -> list[tuple[Any, int]]:
        """CLIP's, then T5's."""
        clip_length = int(self.clip_length or self.tokenizer.model_max_length)
        return [(self.tokenizer, clip_length), *self.text_tokenizers]

    @property
    def native_resolution(self) -> int:
        """By the longest sequence that its scheduler knows (1024, as diffusers' pipeline has it)."""
        return side_of_longest(self.scheduler, self.family.packing) * self.vae_factor

    def embed_prompts(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """Encode prompts by both encoders; ``size`` does not count.

        Returns:
            Tokens ``[prompts, 512, width]``: T5's last hidden states, of padding too. Pooled ``[prompts,
            width]``: CLIP's last hidden state at the end token, after its final layer norm.
        """
        return Conditioning(*embed_one_by_one(prompts, self._embed))

    @torch.no_grad()
    def _embed(self, prompt: str) -> dict[str, torch.Tensor]:
        ids = [padded_tokens(tokenizer, prompt, length) for tokenizer, length in self.prompt_tokenizers]

        def encode() -> dict[str, torch.Tensor]:
            self.place_text_encoders(self.device)
            of_clip, of_t5 = (each.to(self.device) for each in ids)
            return {
                "tokens": self.text_encoder_2(of_t5).last_hidden_state.float(),
                "pooled": self.text_encoder(of_clip).pooler_output.float(),
            }

        return self.cached("text", encode, {}, ids)

    def denoise(self, latents: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Call the transformer on packed latents, as diffusers' ``FluxPipeline`` does.

        A guidance scale that the conditioning does not say is 1; a model without an input for it gets none.
        """
        dtype, (rows, _, height, width) = self.dtype, latents.shape
        assert conditioning.pooled is not None, "embed_prompts makes pooled embeddings"
        side = self.family.packing
        grid, scales = (height // side, width // side), None
        if self.transformer.config.guidance_embeds:
            scales = conditioning.vectors.get("guidance", torch.ones(rows, device=latents.device))
        output = self.transformer(
            packed(latents.to(dtype), side),
            encoder_hidden_states=conditioning.tokens.to(dtype),
            pooled_projections=conditioning.pooled.to(dtype),
            timestep=time.expand(rows).to(dtype) / 1000,
            guidance=scales,
            img_ids=positions(grid, latents.device),
            txt_ids=torch.zeros(conditioning.tokens.shape[1], 3, device=latents.device),
            return_dict=False,
        )[0]
        return unpacked(output, grid, side)


def positions(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Where each of a picture's tokens is: 0, its row and its column ``[tokens, 3]``.

    >>> positions((1, 2), torch.device("cpu"))
    tensor([[0., 0., 0.],
            [0., 0., 1.]])
    """
    rows, columns = (torch.arange(count, device=device).float() for count in grid)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).flatten(0, 1)

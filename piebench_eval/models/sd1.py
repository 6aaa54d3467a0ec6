"""Stable Diffusion 1.x, and the families that share its architecture: InstaFlow and latent consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models.attention import read_texts_apart
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.conditioning import VALUES, Conditioning
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.family_checks import NO_GUIDANCE_INPUT
from piebench_eval.models.unet_pass import fork_place, row_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.models.families import Family


@dataclass(kw_only=True)
class StableDiffusion(DiffusionModel):
    """Stable Diffusion 1.x (Rombach et al., CVPR 2022).

    Attributes:
        unet: ``UNet2DConditionModel``.
        text_encoder: ``CLIPTextModel``.
    """

    family: ClassVar[Family] = FAMILIES["sd1"]
    unet: Any
    text_encoder: Any

    @property
    def denoiser(self) -> Any:
        """The UNet."""
        return self.unet

    @property
    def text_encoders(self) -> dict[str, Any]:
        """CLIP's text encoder."""
        return {"text_encoder": self.text_encoder}

    def row_places(self) -> list[str]:
        """The UNet's residual blocks and attention layers."""
        return row_places(self.unet)

    def fork_place(self) -> str | None:
        """The first self-attention, before a text is read."""
        return fork_place(self.unet)

    def embed_prompts(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """Encode prompts, padded and truncated to the tokenizer's length.

        Returns:
            Last hidden states after the final layer norm, tokens ``[prompts, 77, width]``; ``size`` does not
            count.
        """
        # One by one: a prompt has the same embedding, to the last bit, whatever else is in the batch.
        embeddings = {prompt: self._embed(prompt) for prompt in dict.fromkeys(prompts)}
        return Conditioning(torch.cat([embeddings[prompt] for prompt in prompts]))

    @torch.no_grad()
    def _embed(self, prompt: str) -> torch.Tensor:
        tokens = padded_tokens(self.tokenizer, prompt)

        def encode() -> dict[str, torch.Tensor]:
            self.place_text_encoders(self.device)
            return {"states": self.text_encoder(tokens.to(self.device)).last_hidden_state}

        return self.cached("text", encode, {}, [tokens])["states"].float()

    def denoise(self, latents: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Call the UNet."""
        dtype = self.dtype
        tokens = conditioning.tokens_as(dtype)
        if (values := conditioning.vectors.get(VALUES)) is not None:
            read_texts_apart(self.unet)
            tokens = torch.cat([tokens, values.to(dtype)], dim=-1)
        return self.network(latents.to(dtype), time, tokens, return_dict=False)[0]


class InstaFlow(StableDiffusion):
    """InstaFlow and 2-rectified flow (Liu et al., ICLR 2024): SD 1.x's networks, predicting a velocity."""

    family = FAMILIES["instaflow"]


class LatentConsistency(StableDiffusion):
    """A latent consistency model (Luo et al., 2023) of SD 1.x's architecture."""

    family = FAMILIES["lcm"]

    def denoise(self, latents: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Call the UNet; a guidance scale in the conditioning enters it as an embedding.

        Raises:
            PiebenchError: there is a guidance scale, and the UNet has no input for it.
        """
        dtype, scales = self.dtype, conditioning.vectors.get("guidance")
        if scales is not None and not self.unet.config.time_cond_proj_dim:
            raise PiebenchError(NO_GUIDANCE_INPUT)
        embedded = None if scales is None else embed_scales(scales, self.unet.config.time_cond_proj_dim)
        return self.network(
            latents.to(dtype),
            time,
            conditioning.tokens_as(dtype),
            timestep_cond=None if embedded is None else embedded.to(dtype),
            return_dict=False,
        )[0]


def embed_scales(scales: torch.Tensor, width: int) -> torch.Tensor:
    """Sinusoidal embeddings of guidance scales (Luo et al., LCM, 2023, section 4.2).

    A scale w of Ho & Salimans' equation as everywhere here, where 1 is no guidance, is w - 1 of theirs; it is
    multiplied by 1000 as in diffusers' ``LatentConsistencyModelPipeline``.

    Args:
        scales: ``[rows]``.
        width: of the embeddings, the UNet's ``time_cond_proj_dim``.

    Returns:
        ``[rows, width]``, float32: sines, then cosines.
    """
    from diffusers.models.embeddings import get_timestep_embedding

    return get_timestep_embedding((scales - 1) * 1000, width)


def padded_tokens(tokenizer: Any, prompt: str, length: int | None = None) -> torch.Tensor:
    """Token ids of a prompt, padded and truncated to a length, int64 ``[1, length]``.

    Args:
        tokenizer: a tokenizer of transformers.
        prompt: the prompt.
        length: the length; the tokenizer's by default.
    """
    encoded = tokenizer(
        [prompt],
        padding="max_length",
        max_length=tokenizer.model_max_length if length is None else length,
        truncation=True,
        return_tensors="pt",
    )
    return encoded.input_ids

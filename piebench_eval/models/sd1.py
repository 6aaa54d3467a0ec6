"""Stable Diffusion 1.x, and the families that share its architecture: InstaFlow and latent consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.families import FAMILIES

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
        dtype = self.unet.dtype
        return self.unet(latents.to(dtype), time, conditioning.tokens.to(dtype), return_dict=False)[0]


class InstaFlow(StableDiffusion):
    """InstaFlow and 2-rectified flow (Liu et al., ICLR 2024): SD 1.x's networks, predicting a velocity."""

    family = FAMILIES["instaflow"]


class LatentConsistency(StableDiffusion):
    """A latent consistency model (Luo et al., 2023) of SD 1.x's architecture."""

    family = FAMILIES["lcm"]


def padded_tokens(tokenizer: Any, prompt: str) -> torch.Tensor:
    """Token ids of a prompt, padded and truncated to the tokenizer's length, int64 ``[1, 77]``."""
    encoded = tokenizer(
        [prompt],
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return encoded.input_ids

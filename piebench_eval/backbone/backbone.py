"""A Stable Diffusion 1.x model as the inversions and the edit loop see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from piebench_eval.backbone.evaluations import UNetTally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LATENT_DIVISOR = 8
"""Latent sides must divide by this: the UNet halves them three times."""


@dataclass
class Backbone:
    """UNet, autoencoder, text encoder and tokenizer of one model on one device.

    Latents and all arithmetic between UNet calls stay in float32 whatever the precision: half precision is
    for the UNet and the text encoder alone, and the autoencoder always runs in float32, because a bfloat16
    autoencoder cannot tell neighbouring grey levels apart and would cost every method PSNR.

    Attributes:
        unet: ``UNet2DConditionModel``.
        vae: ``AutoencoderKL``.
        text_encoder: ``CLIPTextModel``.
        tokenizer: ``CLIPTokenizer``.
        alphas_cumprod: cumulative alphas of the 1000 training timesteps, float32.
        device: where the weights lie.
        tally: rows counted since it was last replaced.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas_cumprod: torch.Tensor
    device: torch.device
    tally: UNetTally = field(default_factory=UNetTally)

    @property
    def vae_factor(self) -> int:
        """Side of an image divided by the side of its latent (8 for Stable Diffusion)."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_resolution(self) -> int:
        """Side in pixels of the images the UNet was trained on (512 for Stable Diffusion 1.x)."""
        return int(self.unet.config.sample_size) * self.vae_factor

    @torch.no_grad()
    def embed_prompts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode prompts, padded and truncated to the tokenizer's length.

        Returns:
            Last hidden states after the final layer norm, shape ``[prompts, 77, width]``.
        """
        tokens = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state

    @torch.no_grad()
    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Encode images ``[height, width, 3]`` to the posterior mean, scaled as the UNet expects it.

        Returns:
            Latents of shape ``[images, 4, height / 8, width / 8]``, float32.
        """
        # Contiguous: PyTorch's CPU group norm loses three digits on large channels-last images.
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        pixels = pixels.to(self.device).float() / 127.5 - 1
        # One by one: the autoencoder needs the most memory of all, and gains little from a batch.
        means = [self.vae.encode(image[None]).latent_dist.mean for image in pixels]
        return torch.cat(means) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode_latents(self, latents: torch.Tensor) -> NDArray[np.uint8]:
        """Decode latents ``[images, 4, h, w]``; pixels are clamped and truncated, as the reference does.

        Returns:
            Images of shape ``[images, 8 h, 8 w, 3]``.
        """
        unscaled = latents / self.vae.config.scaling_factor
        pixels = torch.cat([self.vae.decode(latent[None]).sample for latent in unscaled])
        pixels = (pixels / 2 + 0.5).clamp(0, 1) * 255
        return pixels.permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)

    def predict_noise(
        self, latents: torch.Tensor, timestep: int, embeddings: torch.Tensor, samples: Sequence[int]
    ) -> torch.Tensor:
        """Call the UNet: the one place that does, so that every evaluation is counted.

        Args:
            latents: ``[rows, 4, h, w]``.
            timestep: training timestep, the same for all rows.
            embeddings: text embeddings ``[rows, 77, width]``.
            samples: which sample of the batch each row is spent on.

        Returns:
            Predicted noise, shape and dtype of ``latents``.
        """
        dtype = self.unet.dtype
        noise = self.unet(latents.to(dtype), timestep, embeddings.to(dtype), return_dict=False)[0]
        self.tally.count(samples, noise)
        return noise.to(latents.dtype)

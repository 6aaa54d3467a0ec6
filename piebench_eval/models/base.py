"""A Stable Diffusion 1.x model as the inversions and the edit loop see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from piebench_eval.models.cache import Cache, CacheEntry
from piebench_eval.models.decoding import GPU_BATCH, decode_with_fallback, to_host, warn
from piebench_eval.models.nfe import EvaluationCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass
class DiffusionModel:
    """UNet, autoencoder, text encoder and tokenizer of one model on one device.

    Latents and all arithmetic between UNet calls stay in float32 whatever the precision: half precision is
    for the UNet and the text encoder alone, and the autoencoder always runs in float32, because a bfloat16
    autoencoder cannot tell neighbouring grey levels apart and would cost every method PSNR.

    Attributes:
        unet: ``UNet2DConditionModel``.
        vae: ``AutoencoderKL``.
        text_encoder: ``CLIPTextModel``.
        tokenizer: ``CLIPTokenizer``.
        alphas_cumprod: cumulative alphas of the 1000 training timesteps: numbers of the host, which
            schedules are made of.
        device: where the weights lie.
        evaluations: evaluations counted since the counter was last replaced.
        cache: where ``cached`` keeps results for the next combination; without one everything is computed.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas_cumprod: Sequence[float]
    device: torch.device
    evaluations: EvaluationCounter = field(default_factory=EvaluationCounter)
    cache: Cache | None = None

    @property
    def vae_factor(self) -> int:
        """Side of an image divided by the side of its latent (8 for Stable Diffusion)."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_resolution(self) -> int:
        """Side in pixels of the images the UNet was trained on (512 for Stable Diffusion 1.x)."""
        return int(self.unet.config.sample_size) * self.vae_factor

    def embed_prompts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode prompts, padded and truncated to the tokenizer's length.

        Returns:
            Last hidden states after the final layer norm, shape ``[prompts, 77, width]``, float32: what is
            optimised or added up between calls has all its digits, whatever the precision.
        """
        # One by one: a prompt has the same embedding, to the last bit, whatever else is in the batch.
        embeddings = {prompt: self._embed(prompt) for prompt in dict.fromkeys(prompts)}
        return torch.cat([embeddings[prompt] for prompt in prompts])

    @torch.no_grad()
    def _embed(self, prompt: str) -> torch.Tensor:
        tokens = self.tokenizer(
            [prompt],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids

        def encode() -> dict[str, torch.Tensor]:
            return {"states": self.text_encoder(tokens.to(self.device)).last_hidden_state}

        return self.cached("text", encode, {}, [tokens])["states"].float()

    @torch.no_grad()
    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Encode images ``[height, width, 3]`` to the posterior mean, scaled as the UNet expects it.

        Returns:
            Latents of shape ``[images, 4, height / 8, width / 8]``, float32.
        """
        # Contiguous: PyTorch's CPU group norm loses three digits on large channels-last images.
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()

        def encode() -> dict[str, torch.Tensor]:
            scaled = pixels.to(self.device).float() / 127.5 - 1
            # One by one: the autoencoder needs the most memory of all, and gains little from a batch.
            means = [self.vae.encode(image[None]).latent_dist.mean for image in scaled]
            return {"latents": torch.cat(means) * self.vae.config.scaling_factor}

        return self.cached("image", encode, {}, [pixels])["latents"]

    @torch.no_grad()
    def decode_latents(
        self,
        latents: torch.Tensor,
        overflow: Literal["clamp", "wrap"] = "clamp",
        notify: Callable[[str], None] = warn,
    ) -> NDArray[np.uint8]:
        """Decode latents; pixels are truncated to whole grey levels, as the reference does.

        Args:
            latents: ``[images, 4, h, w]``.
            overflow: grey levels outside 0..255 become the nearest of them, or the remainder
                modulo 256.
            notify: called with a note for the user; warns by default.

        Returns:
            Images of shape ``[images, 8 h, 8 w, 3]``.
        """
        unscaled = latents / self.vae.config.scaling_factor
        # One by one on a CPU, where a batch gains nothing and moves the last bits.
        batch = GPU_BATCH if self.device.type == "cuda" else 1
        pixels = decode_with_fallback(self.vae, unscaled, batch, notify)
        grey_levels = (pixels / 2 + 0.5) * 255
        if overflow == "clamp":
            grey_levels = grey_levels.clamp(0, 255)
        # By way of whole numbers: what a negative float is as uint8 depends on the processor.
        images = grey_levels.long().bitwise_and(255).byte().permute(0, 2, 3, 1)
        return to_host(images).numpy()

    def cached(
        self,
        kind: str,
        compute: Callable[[], dict[str, torch.Tensor]],
        settings: Mapping[str, Any],
        tensors: Sequence[torch.Tensor],
        axis: int = 0,
    ) -> dict[str, torch.Tensor]:
        """Compute something for a batch, unless the cache has it for all of its samples.

        A result is reused wherever ``kind``, ``settings`` and a sample's ``tensors`` are the same: they must
        contain everything that it depends on besides the model.

        Args:
            kind: name of what is computed, unique to its function.
            compute: computes it for the whole batch: tensors by name.
            settings: values that the result depends on, as JSON has them.
            tensors: tensors that it depends on, each ``[samples, ...]``.
            axis: the axis of samples in the results.

        Returns:
            What ``compute`` returns, or returned when it was called before.
        """
        if self.cache is None:
            return compute()
        of_samples = list(zip(*tensors, strict=True))
        keys = [self.cache.key(kind, settings, of_sample) for of_sample in of_samples]
        known = [entry for key in keys if (entry := self.cache.get(key)) is not None]
        if len(known) == len(keys):
            for sample, entry in enumerate(known):
                self.evaluations.count_reused(sample, entry.forward, entry.backward)
            return {
                name: torch.stack([entry.tensors[name] for entry in known], axis).to(self.device)
                for name in known[0].tensors
            }
        before = self.evaluations.snapshot()
        result = compute()
        for sample, key in enumerate(keys):
            forward, backward = self.evaluations.since(before, sample)
            of_sample = {name: tensor.select(axis, sample) for name, tensor in result.items()}
            self.cache.put(key, CacheEntry(of_sample, forward, backward))
        return result

    def predict_noise(
        self, latents: torch.Tensor, timestep: int, embeddings: torch.Tensor, samples: Sequence[int]
    ) -> torch.Tensor:
        """Call the UNet: the one place that does, so that every evaluation is counted.

        Args:
            latents: ``[rows, 4, h, w]``; a row is one latent with one text.
            timestep: training timestep, the same for all rows.
            embeddings: text embeddings ``[rows, 77, width]``.
            samples: for each row, the place in the batch of the sample that its evaluation is counted for.

        Returns:
            Predicted noise, shape and dtype of ``latents``.
        """
        dtype = self.unet.dtype
        # Filled on the device: diffusers would copy a number there, and wait for it.
        time = torch.full((), timestep, dtype=torch.int64, device=latents.device)
        noise = self.unet(latents.to(dtype), time, embeddings.to(dtype), return_dict=False)[0]
        self.evaluations.count(samples, noise)
        return noise.to(latents.dtype)

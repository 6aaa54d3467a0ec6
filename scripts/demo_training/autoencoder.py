"""The autoencoder between 64x64 images and 4x16x16 latents."""

import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional

from piebench_eval.demo.draw import SIDE
from scripts.demo_training.data import pictures, to_unit
from scripts.demo_training.loop import Training, train

STEPS, BATCH, PICTURES = 3000, 16, 24_000
SCALE = 0.18215  # Stable Diffusion's factor from the autoencoder's latents to those of unit size
_FIRST_LOG_VARIANCE = -6.0


def new_autoencoder() -> AutoencoderKL:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(32, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )
    _initialise(vae)
    return vae


def train_autoencoder(work: Path, device: torch.device) -> AutoencoderKL:
    """Train on drawings, then give the latents mean 0 and size 1 under Stable Diffusion's scale."""
    vae = new_autoencoder().to(device, memory_format=torch.channels_last)
    drawn = pictures(work, "train", PICTURES)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        batch = to_unit(drawn[np.sort(rng.integers(len(drawn), size=BATCH))])
        return _loss(vae, batch.to(device, memory_format=torch.channels_last))

    train(Training("autoencoder", [(vae, 2e-3)], loss, STEPS, seed=1, weight_decay=0.0), work, device)
    vae.float().to(memory_format=torch.contiguous_format).eval()
    _normalise(vae, to_unit(drawn[:2000]).to(device))
    return vae


def _loss(vae: AutoencoderKL, batch: torch.Tensor) -> torch.Tensor:
    """L1 + L2 + half the L1 of the picture's gradients + a trace of the KL divergence."""
    posterior = vae.encode(batch).latent_dist
    latents = posterior.mean + posterior.std * torch.randn_like(posterior.std)
    made = vae.decode(latents).sample.float()
    error = made - batch
    slopes = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + error.square().mean() + 0.5 * slopes + 1e-4 * posterior.kl().mean() / 1024


def _initialise(vae: AutoencoderKL) -> None:
    """Weights of unit gain and residual branches that begin at nothing; the default stays at one colour."""
    for module in vae.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=1 / math.sqrt(fan_in))
            nn.init.zeros_(module.bias)
    for name, module in vae.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            nn.init.zeros_(module.weight)
    with torch.no_grad():
        vae.quant_conv.weight[4:] *= 0.01
        vae.quant_conv.bias[4:] = _FIRST_LOG_VARIANCE


@torch.no_grad()
def _normalise(vae: AutoencoderKL, batch: torch.Tensor) -> None:
    """Fold the latents' mean and size into the convolutions beside them."""
    means = torch.cat([vae.encode(part).latent_dist.mean for part in batch.split(100)])
    mean = means.mean(dim=(0, 2, 3))
    size = means.std(dim=(0, 2, 3)) * SCALE
    into, out_of = vae.quant_conv, vae.post_quant_conv
    out_of.bias += functional.conv2d(mean[None, :, None, None], out_of.weight)[0, :, 0, 0]
    out_of.weight *= size[None, :, None, None]
    into.bias[:4] -= mean
    into.weight[:4] /= size[:, None, None, None]
    into.bias[:4] /= size
    into.bias[4:] -= 2 * size.log()

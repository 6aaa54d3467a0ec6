"""Train the UNet and its text encoder."""

import os
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from scripts.demo_training.autoencoder import SCALE
from scripts.demo_training.clip import WIDTH
from scripts.demo_training.data import pictures, say, scene, to_unit
from scripts.demo_training.loop import Training, train

STEPS, BATCH, PICTURES = 3600, 64, 24_000
_DROPPED = 0.1  # share of captions left out, for classifier-free guidance
_SNR_LIMIT = 5.0


def sd_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.x's noise schedule, as its checkpoints configure it."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def new_unet() -> UNet2DConditionModel:
    """Stable Diffusion 1.x's blocks, 16 of them with attention, 64 channels wide everywhere."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 64, 64, 64),
        layers_per_block=2,
        attention_head_dim=2,
        cross_attention_dim=WIDTH,
        norm_num_groups=4,
    )
    for name, module in unet.named_modules():
        if name.endswith(("conv2", "conv_out", "proj_out")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return unet


def new_text_encoder(clip: CLIPModel) -> CLIPTextModel:
    """The text half of a CLIP by itself."""
    encoder = CLIPTextModel(clip.config.text_config)
    encoder.load_state_dict(clip.text_model.state_dict())
    return encoder.float()


def train_unet(work: Path, device: torch.device, processes: int) -> None:
    """Train both; the weights are found in ``unet/`` and ``text_encoder/`` of the work folder."""
    encode_all(work, device)  # once, before there are several processes
    if processes == 1:
        _train_process(0, 1, work, device)
        return
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29517", OMP_NUM_THREADS="1")
    mp.spawn(_train_process, args=(processes, work, device), nprocs=processes)


def _train_process(rank: int, processes: int, work: Path, device: torch.device) -> None:
    if processes > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", rank=rank, world_size=processes)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    encoder = new_text_encoder(CLIPModel.from_pretrained(work / "clip")).to(device)
    unet = new_unet().to(device, memory_format=torch.channels_last)
    # Explicit attention: on CPUs the backward pass of PyTorch's fused one is half as fast in bfloat16.
    unet.set_attn_processor(AttnProcessor())
    latents = encode_all(work, device)
    levels = sd_scheduler().alphas_cumprod.to(device)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        numbers = rng.integers(len(latents), size=BATCH // processes)
        captions = [
            "" if rng.random() < _DROPPED else say(scene("train", int(number)), rng) for number in numbers
        ]
        tokens = tokenizer(captions, padding="max_length", return_tensors="pt").input_ids.to(device)
        context = encoder(tokens).last_hidden_state
        clean = latents[numbers].to(device)
        steps = torch.from_numpy(rng.integers(1000, size=len(numbers))).to(device)
        noise = torch.randn_like(clean)
        signal = levels[steps][:, None, None, None]
        noised = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        error = (
            unet(noised.contiguous(memory_format=torch.channels_last), steps, context).sample - noise
        ).float()
        # Min-SNR weights (Hang et al., ICCV 2023) for a network that predicts the noise.
        snr = signal.flatten() / (1 - signal.flatten())
        return (error.square().mean(dim=(1, 2, 3)) * snr.clamp(max=_SNR_LIMIT) / snr).mean()

    groups = [(unet, 1e-3), (encoder, 2e-4)]
    train(Training("unet", groups, loss, STEPS, seed=5), work, device)
    if rank == 0:
        unet.float().to(memory_format=torch.contiguous_format).save_pretrained(work / "unet")
        encoder.float().save_pretrained(work / "text_encoder")
    if processes > 1:
        dist.destroy_process_group()


@torch.no_grad()
def encode_all(work: Path, device: torch.device) -> torch.Tensor:
    """Latents of all training pictures at unit size, ``[n, 4, 16, 16]``; kept in the work folder."""
    file = work / "latents.pt"
    if not file.is_file():
        vae = AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
        parts = to_unit(pictures(work, "train", PICTURES)).split(100)
        encoded = torch.cat([vae.encode(part.to(device)).latent_dist.mean.cpu() * SCALE for part in parts])
        torch.save(encoded, file)
    return torch.load(file, weights_only=True)

"""Train the demo models from scratch, write them into the package, and measure them.

    python -m scripts.train_demo_models --work WORK

To resume an interrupted session, run the same command again. Two CPU cores need about an hour and a
half, a GPU some minutes. Logs and checkpoints stay in the work folder. A run on other processes, threads or
devices sums in another order, so weights agree in quality and not in their last bits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import torch
import typer
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPModel, ViTModel

from scripts.demo_training.autoencoder import train_autoencoder
from scripts.demo_training.card import write_card, write_edits_sheet
from scripts.demo_training.clip import train_clip
from scripts.demo_training.measure import measure
from scripts.demo_training.package import LIMIT_BYTES, package
from scripts.demo_training.squeezenet import train_squeezenet
from scripts.demo_training.structure_vit import train_vit
from scripts.demo_training.tokenizer import save_tokenizer
from scripts.demo_training.unet import train_unet


def main(
    work: Annotated[Path, typer.Option(help="Where drawings, logs and checkpoints are kept.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    processes: Annotated[
        int | None, typer.Option(min=1, help="Of the UNet's training; one per core on a CPU.")
    ] = None,
) -> None:
    """Train whatever the work folder does not hold yet, then package, measure and write the model card."""
    work.mkdir(parents=True, exist_ok=True)
    where = torch.device(device)
    train_small_networks(work, where)
    if not (work / "vae").is_dir():
        vae: AutoencoderKL = train_autoencoder(work, where)
        vae.cpu().save_pretrained(work / "vae")
    if not (work / "text_encoder").is_dir():
        cores = (os.cpu_count() or 1) if where.type == "cpu" else 1
        train_unet(work, where, processes or cores)
    size = package(work)
    print(f"{size / 1e6:.1f} MB inside the package")
    if size > LIMIT_BYTES:
        raise SystemExit(f"more than the {LIMIT_BYTES / 1e6:.0f} MB that a package should carry")
    write_card(measure(), size)
    write_edits_sheet()


def train_small_networks(work: Path, device: torch.device) -> None:
    """Tokenizer, CLIP, SqueezeNet and ViT."""
    tokenizer = save_tokenizer(work / "tokenizer")
    if not (work / "clip").is_dir():
        clip: CLIPModel = train_clip(work, tokenizer, device)
        clip.cpu().save_pretrained(work / "clip")
    if not (work / "squeezenet.safetensors").is_file():
        features = train_squeezenet(work, device)
        save_file(features.cpu().state_dict(), work / "squeezenet.safetensors")
    if not (work / "vit").is_dir():
        vit: ViTModel = train_vit(work, device)
        vit.cpu().save_pretrained(work / "vit")


if __name__ == "__main__":
    typer.run(main)

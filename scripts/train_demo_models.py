"""Train the demo models from scratch, write them into the package, and measure them.

    python -m scripts.train_demo_models --work WORK

To resume an interrupted session, run the same command again. Two CPU cores need about two hours and a
half, a GPU some minutes. ``--only flow`` trains the flow transformer alone, on what the work folder holds of
its forerunners and on the packaged autoencoder, CLIP and text encoder otherwise. Logs and checkpoints stay
in the work folder. A run on other processes, threads or devices sums in another order, so weights agree in
quality and not in their last bits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPModel, ViTModel

from scripts.demo_training.autoencoder import train_autoencoder
from scripts.demo_training.card import write_card, write_edits_sheet
from scripts.demo_training.clip import train_clip
from scripts.demo_training.flow import train_flow
from scripts.demo_training.measure import measure
from scripts.demo_training.measure_flow import load_flow, measure_flow
from scripts.demo_training.package import LIMIT_BYTES, package, package_flow, unpack
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
    only: Annotated[
        Literal["flow"] | None, typer.Option(help="Train and package the flow transformer alone.")
    ] = None,
) -> None:
    """Train whatever the work folder does not hold yet, then package, measure and write the model card."""
    work.mkdir(parents=True, exist_ok=True)
    where = torch.device(device)
    if only == "flow":
        unpack(work)
    else:
        train_diffusion(work, where, processes)
    if not (work / "flow" / "text_encoder_2").is_dir():  # what is written last
        train_flow(work, where)
    size = package_flow(work) if only == "flow" else package(work)
    print(f"{size / 1e6:.1f} MB inside the package")
    if size > LIMIT_BYTES:
        raise SystemExit(f"more than the {LIMIT_BYTES / 1e6:.0f} MB that a package should carry")
    right, inverted = measure_flow(load_flow())
    write_card(measure(), right, inverted, size)
    if only is None:
        write_edits_sheet()


def train_diffusion(work: Path, device: torch.device, processes: int | None) -> None:
    """The networks of the scores, the autoencoder, and the UNet with its text encoder."""
    train_small_networks(work, device)
    if not (work / "vae").is_dir():
        vae: AutoencoderKL = train_autoencoder(work, device)
        vae.cpu().save_pretrained(work / "vae")
    if not (work / "text_encoder").is_dir():
        cores = (os.cpu_count() or 1) if device.type == "cpu" else 1
        train_unet(work, device, processes or cores)


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

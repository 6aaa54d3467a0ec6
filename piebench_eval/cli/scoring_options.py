"""Options that several commands share: benchmark, protocol, metric networks, device."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

NETWORKS = "Networks"


class ImageLoaderName(StrEnum):
    """The names of ``piebench_eval.data.images.ImageLoader``."""

    crop = "crop"
    stretch = "stretch"
    shorter_side = "shorter_side"
    resize = "resize"
    resize_bilinear = "resize_bilinear"
    resize_lanczos = "resize_lanczos"
    crop_to_multiple = "crop_to_multiple"


class SubsetName(StrEnum):
    """The names of ``piebench_eval.data.subsets.SUBSETS``."""

    quick_70 = "quick-70"
    quick_140 = "quick-140"


DinoOption = Annotated[
    str | None,
    typer.Option(
        help="ViT of the structure distance; facebook/dino-vitb8 by default, the demo's own for demo runs.",
        rich_help_panel=NETWORKS,
    ),
]
ClipOption = Annotated[
    str | None,
    typer.Option(
        help="CLIP of the CLIP scores; openai/clip-vit-large-patch14 by default, the demo's own for demo "
        "runs. Or open_clip:MODEL/WEIGHTS, as in open_clip:ViT-L-14/openai.",
        rich_help_panel=NETWORKS,
    ),
]
LpipsWeightsOption = Annotated[
    str | None,
    typer.Option(
        help="SqueezeNet of LPIPS: squeezenet (torchvision's) by default, the demo's own for demo runs; or a "
        "safetensors file of its features.",
        rich_help_panel=NETWORKS,
    ),
]
LpipsAlexOption = Annotated[
    str | None,
    typer.Option(
        help="AlexNet of lpips_alex_unedit_part: alexnet (torchvision's) by default, or a safetensors file.",
        rich_help_panel=NETWORKS,
    ),
]
LpipsVggOption = Annotated[
    str | None,
    typer.Option(
        help="VGG of lpips_vgg_unedit_part: vgg16 (torchvision's) by default, or a safetensors file.",
        rich_help_panel=NETWORKS,
    ),
]
ImageLoaderOption = Annotated[
    ImageLoaderName | None,
    typer.Option(
        help="How the sources of --images were loaded when they were edited, as in a recipe; they are "
        "brought to the edits' sizes in the same way. By default edits are of whole sources, in the sources' "
        "own sizes. A run knows its own.",
        show_default=False,
    ),
]
MaskSizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE|WxH",
        help="Size of the pictures that the benchmark's masks are made for, where it is not the pictures' "
        "own: 512, or 640x480. Masks are scaled by the nearest pixels.",
        show_default=False,
    ),
]
SubsetOption = Annotated[
    SubsetName | None,
    typer.Option(
        help="Score only a fixed small subset, a tenth or a fifth of the benchmark; its tables get no "
        "verdict. A run that was made on one knows it.",
        show_default=False,
    ),
]
AllowPickleOption = Annotated[
    bool,
    typer.Option(
        "--allow-pickle",
        help="Load networks from pickle files, which can run code.",
        rich_help_panel=NETWORKS,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        help="Benchmark folder, or demo for the embedded one, which is drawn into demo-benchmark/; a run "
        "knows its own.",
        show_default=False,
    ),
]
MovedDataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The benchmark folder, if it has moved since the run.", show_default=False),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        help="Columns, with commas between them; official, the default, stands for the eight (the demo's "
        "benchmark has three more by default). piebench metrics lists all.",
        show_default=False,
    ),
]
ProtocolOption = Annotated[
    str,
    typer.Option(
        help="paper: as published. modern: as the same evaluator computes under today's libraries. Or a "
        "YAML file that says what differs from paper."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
AllowMissingOption = Annotated[
    bool, typer.Option(help="Use the pictures that are there if others are missing.")
]

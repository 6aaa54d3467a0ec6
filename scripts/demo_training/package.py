"""Write trained networks into the package, in half precision as safetensors."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, ViTModel

from piebench_eval.demo.embedded import DEMO, DEMO_FLOW, WEIGHTS, locate
from scripts.demo_training import flow
from scripts.demo_training.clip import save_clip
from scripts.demo_training.unet import sd_scheduler

LIMIT_BYTES = 29_000_000
FLOW_FOLDER = Path(locate("model", DEMO_FLOW)).name


def package(work: Path) -> int:
    """Write the embedded models from a work folder; returns their size in bytes."""
    shutil.rmtree(WEIGHTS, ignore_errors=True)
    _package_diffusion(work)
    return package_flow(work)


def _package_diffusion(work: Path) -> None:
    """Everything but the flow transformer's folder."""
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    pipeline = Path(locate("model", DEMO))
    AutoencoderKL.from_pretrained(work / "vae").half().save_pretrained(pipeline / "vae")
    UNet2DConditionModel.from_pretrained(work / "unet").half().save_pretrained(pipeline / "unet")
    CLIPTextModel.from_pretrained(work / "text_encoder").half().save_pretrained(pipeline / "text_encoder")
    tokenizer.save_pretrained(pipeline / "tokenizer")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(work / "tokenizer" / name, pipeline / "tokenizer")
    sd_scheduler().save_pretrained(pipeline / "scheduler")
    (pipeline / "model_index.json").write_text(json.dumps(_MODEL_INDEX, indent=2) + "\n")
    save_clip(CLIPModel.from_pretrained(work / "clip"), tokenizer, Path(locate("clip", DEMO)))
    ViTModel.from_pretrained(work / "vit", add_pooling_layer=False).half().save_pretrained(
        locate("dino", DEMO)
    )
    features = load_file(work / "squeezenet.safetensors")
    halved = {name: weight.to(torch.float16) for name, weight in features.items()}
    save_file(halved, locate("lpips_weights", DEMO))
    for part in ("unet", "vae"):
        _forget_origin(pipeline / part / "config.json")


def package_flow(work: Path) -> int:
    """Write the flow transformer's folder from a work folder; returns the size of all weights in bytes."""
    pipeline = WEIGHTS / FLOW_FOLDER
    shutil.rmtree(pipeline, ignore_errors=True)
    vae = AutoencoderKL.from_pretrained(work / "vae").half()
    vae.register_to_config(shift_factor=0.0)  # the class wants one
    vae.save_pretrained(pipeline / "vae")
    transformer = SD3Transformer2DModel.from_pretrained(work / "flow" / "transformer")
    transformer.half().save_pretrained(pipeline / "transformer")
    for name in ("text_encoder", "text_encoder_2"):
        encoder = CLIPTextModelWithProjection.from_pretrained(work / "flow" / name)
        encoder.half().save_pretrained(pipeline / name)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer", model_max_length=flow.CLIP_LENGTH)
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer.save_pretrained(pipeline / name)
        for file in ("vocab.json", "merges.txt"):
            shutil.copy(work / "tokenizer" / file, pipeline / name)
    FlowMatchEulerDiscreteScheduler(shift=flow.SHIFT).save_pretrained(pipeline / "scheduler")
    (pipeline / "model_index.json").write_text(json.dumps(_FLOW_INDEX, indent=2) + "\n")
    for part in ("transformer", "vae"):
        _forget_origin(pipeline / part / "config.json")
    return sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file())


def unpack(work: Path) -> None:
    """Copy from the package what the flow transformer's training begins with and a work folder lacks."""
    parts = {"clip": Path(locate("clip", DEMO))}
    for name in ("tokenizer", "vae", "text_encoder"):
        parts[name] = Path(locate("model", DEMO)) / name
    for name, source in parts.items():
        if not (work / name).is_dir():
            shutil.copytree(source, work / name)


def _forget_origin(config: Path) -> None:
    """Remove the work folder's path, which diffusers writes into a configuration."""
    fields = json.loads(config.read_text())
    fields.pop("_name_or_path", None)
    config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")


_MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",  # its inpainting pipeline asks for it
    "feature_extractor": [None, None],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

_FLOW_INDEX = {
    "_class_name": "StableDiffusion3Pipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": [None, None],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "tokenizer_3": [None, None],
    "transformer": ["diffusers", "SD3Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

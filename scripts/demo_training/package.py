"""Write trained networks into the package, in half precision as safetensors."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, ViTModel

from piebench_eval.demo.embedded import DEMO, WEIGHTS, locate
from scripts.demo_training.clip import save_clip
from scripts.demo_training.unet import sd_scheduler

LIMIT_BYTES = 16_000_000


def package(work: Path) -> int:
    """Write the embedded models from a work folder; returns their size in bytes."""
    shutil.rmtree(WEIGHTS, ignore_errors=True)
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
    return sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file())


def _forget_origin(config: Path) -> None:
    """Remove the work folder's path, which diffusers writes into a configuration."""
    fields = json.loads(config.read_text())
    fields.pop("_name_or_path", None)
    config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")


_MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

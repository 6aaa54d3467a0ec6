"""What the model card says of the embedded models, measured on scenes that nothing was trained on."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from piebench_eval.demo.draw import draw
from piebench_eval.demo.embedded import DEMO, locate
from piebench_eval.demo.recognise import Seen, recognise
from piebench_eval.demo.scene import Scene, caption
from piebench_eval.diffusion.ddim import ddim_invert, ddim_step, guide
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.models.base import Backbone
from piebench_eval.models.loading import load_backbone
from scripts.demo_training.data import scene

SAMPLING_STEPS, GUIDANCE, INVERSION_STEPS = 25, 4.0, 50


def measure(
    prompts: int = 200, drawings: int = 200, inversions: int = 20, pairs: int = 64
) -> dict[str, float]:
    """All numbers of the model card; the arguments say on how many scenes each is measured."""
    backbone = load_backbone(DEMO)
    scenes = [scene("held-out", index) for index in range(drawings)]
    return {
        "autoencoder PSNR, dB": autoencoder_psnr(backbone, scenes),
        **{f"{what} right, drawn": share for what, share in drawn_right(prompts).items()},
        **{f"{what} right, autoencoder": share for what, share in coded_right(backbone, prompts).items()},
        **{f"{what} right, sampled": share for what, share in sampled_right(backbone, prompts).items()},
        "inversion PSNR, dB": inversion_psnr(backbone, scenes[:inversions]),
        "CLIP retrieval": clip_retrieval(scenes[:pairs]),
    }


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures, dB."""
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


def autoencoder_psnr(backbone: Backbone, scenes: Sequence[Scene]) -> float:
    """Mean PSNR of drawings after the autoencoder."""
    pictures = [draw(shown) for shown in scenes]
    coded = decode(backbone, backbone.encode_images(pictures))
    return float(np.mean([psnr(one, other) for one, other in zip(pictures, coded, strict=True)]))


def one_object_scenes(wanted: int) -> list[Scene]:
    """Held-out drawings of one object, of every material and pattern."""
    numbered = (scene("held-out", index, 1) for index in count(1_000_000))
    kept: list[Scene] = []
    while len(kept) < wanted:
        shown = next(numbered)
        if not shown.sketch:
            kept.append(shown)
    return kept


def drawn_right(wanted: int) -> dict[str, float]:
    """How the check judges the drawings themselves: its own error."""
    scenes = one_object_scenes(wanted)
    return _shares(scenes, [recognise(draw(shown)) for shown in scenes])


def coded_right(backbone: Backbone, wanted: int) -> dict[str, float]:
    """How it judges drawings that have been through the autoencoder: a model cannot do better."""
    scenes = one_object_scenes(wanted)
    coded = decode(backbone, backbone.encode_images([draw(shown) for shown in scenes]))
    return _shares(scenes, [recognise(picture) for picture in coded])


def sampled_right(backbone: Backbone, wanted: int) -> dict[str, float]:
    """How it judges pictures sampled from noise for the drawings' captions."""
    scenes = one_object_scenes(wanted)
    pictures = sample(backbone, [caption(shown) for shown in scenes])
    return _shares(scenes, [recognise(picture) for picture in pictures])


def _shares(scenes: Sequence[Scene], seen: Sequence[Seen]) -> dict[str, float]:
    rights = {"object": [], "color": [], "background": [], "all three": []}
    for shown, what in zip(scenes, seen, strict=True):
        (thing,) = shown.things
        right = (what.shape == thing.shape, what.color == thing.color, what.background == shown.background)
        for name, value in zip(rights, (*right, all(right)), strict=True):
            rights[name].append(value)
    return {name: float(np.mean(values)) for name, values in rights.items()}


@torch.no_grad()
def sample(backbone: Backbone, prompts: Sequence[str], seed: int = 0) -> NDArray[np.uint8]:
    """DDIM sampling from noise; ``[prompts, side, side, 3]``."""
    schedule = ddim_schedule(backbone.alphas_cumprod, SAMPLING_STEPS)
    cond, uncond = backbone.embed_prompts(prompts), backbone.embed_prompts([""] * len(prompts))
    shape = (len(prompts), 4, backbone.unet.config.sample_size, backbone.unet.config.sample_size)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(backbone.device)
    for level in reversed(range(schedule.steps)):
        both = torch.cat([uncond, cond])
        noise = backbone.predict_noise(latents.repeat(2, 1, 1, 1), schedule.timesteps[level], both, [0])
        guided = guide(*noise.chunk(2), GUIDANCE)
        latents = ddim_step(latents, guided, schedule.alphas[level + 1], schedule.alphas[level])
    return decode(backbone, latents)


@torch.no_grad()
def inversion_psnr(backbone: Backbone, scenes: Sequence[Scene]) -> float:
    """Mean PSNR of DDIM inversion and sampling at guidance 1 against the autoencoder's reconstruction."""
    schedule = ddim_schedule(backbone.alphas_cumprod, INVERSION_STEPS)
    start = backbone.encode_images([draw(shown) for shown in scenes])
    cond = backbone.embed_prompts([caption(shown) for shown in scenes])
    latents = ddim_invert(backbone, start, cond, cond, schedule)[-1]
    for level in reversed(range(schedule.steps)):
        noise = backbone.predict_noise(latents, schedule.timesteps[level], cond, [0])
        latents = ddim_step(latents, noise, schedule.alphas[level + 1], schedule.alphas[level])
    pairs = zip(decode(backbone, start), decode(backbone, latents), strict=True)
    return float(np.mean([psnr(one, other) for one, other in pairs]))


@torch.no_grad()
def clip_retrieval(scenes: Sequence[Scene]) -> float:
    """Share of drawings whose own caption is the nearest of all the captions."""
    folder = locate("clip", DEMO)
    clip = CLIPModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    captions = [caption(shown) for shown in scenes]
    tokens = CLIPTokenizer.from_pretrained(folder)(captions, padding=True, return_tensors="pt")
    drawn = [Image.fromarray(draw(shown)) for shown in scenes]
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(drawn, return_tensors="pt").pixel_values
    nearest = clip(**tokens, pixel_values=pixels).logits_per_image.argmax(dim=1)
    return float(np.mean([captions[int(found)] == own for found, own in zip(nearest, captions, strict=True)]))


@torch.no_grad()
def decode(backbone: Backbone, latents: torch.Tensor) -> NDArray[np.uint8]:
    """Pictures of latents, ``[n, side, side, 3]``."""
    return backbone.decode_latents(latents)

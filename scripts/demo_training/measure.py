"""Measure the demo models on held-out scenes, for the model card."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from piebench_eval.demo.draw import draw
from piebench_eval.demo.embedded import DEMO, locate
from piebench_eval.demo.scene import Scene, caption
from piebench_eval.diffusion.guidance import guide
from piebench_eval.diffusion.ode import invert_ode
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.loading import load_model
from scripts.demo_training.data import scene
from scripts.demo_training.recognise import Seen, recognise

SAMPLING_STEPS, GUIDANCE, INVERSION_STEPS = 25, 4.0, 50


def measure(
    prompts: int = 200, drawings: int = 200, inversions: int = 20, pairs: int = 64
) -> dict[str, float]:
    """All numbers of the model card; the arguments say on how many scenes each is measured."""
    model = load_model(DEMO)
    scenes = [scene("held-out", index) for index in range(drawings)]
    return {
        "autoencoder PSNR, dB": autoencoder_psnr(model, scenes),
        **{f"{what} right, drawn": share for what, share in drawn_right(prompts).items()},
        **{f"{what} right, autoencoder": share for what, share in coded_right(model, prompts).items()},
        **{f"{what} right, sampled": share for what, share in sampled_right(model, prompts).items()},
        "inversion PSNR, dB": inversion_psnr(model, scenes[:inversions]),
        "CLIP retrieval": clip_retrieval(scenes[:pairs]),
    }


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures, dB."""
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


def autoencoder_psnr(model: DiffusionModel, scenes: Sequence[Scene]) -> float:
    """Mean PSNR of drawings after the autoencoder."""
    pictures = [draw(shown) for shown in scenes]
    coded = decode(model, model.encode_images(pictures))
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
    return shares_right(scenes, [recognise(draw(shown)) for shown in scenes])


def coded_right(model: DiffusionModel, wanted: int) -> dict[str, float]:
    """How it judges drawings that have been through the autoencoder: a model cannot do better."""
    scenes = one_object_scenes(wanted)
    coded = decode(model, model.encode_images([draw(shown) for shown in scenes]))
    return shares_right(scenes, [recognise(picture) for picture in coded])


def sampled_right(model: DiffusionModel, wanted: int) -> dict[str, float]:
    """How it judges pictures sampled from noise for the drawings' captions."""
    scenes = one_object_scenes(wanted)
    pictures = sample(model, [caption(shown) for shown in scenes])
    return shares_right(scenes, [recognise(picture) for picture in pictures])


def shares_right(scenes: Sequence[Scene], seen: Sequence[Seen]) -> dict[str, float]:
    """How often what was seen is the scene's one object, its colour, the background, and all three."""
    rights = {"object": [], "color": [], "background": [], "all three": []}
    for shown, what in zip(scenes, seen, strict=True):
        (thing,) = shown.things
        right = (what.shape == thing.shape, what.color == thing.color, what.background == shown.background)
        for name, value in zip(rights, (*right, all(right)), strict=True):
            rights[name].append(value)
    return {name: float(np.mean(values)) for name, values in rights.items()}


@torch.no_grad()
def sample(model: DiffusionModel, prompts: Sequence[str], seed: int = 0) -> NDArray[np.uint8]:
    """DDIM sampling from noise; ``[prompts, side, side, 3]``."""
    schedule = ddim_schedule(model.alphas_cumprod, SAMPLING_STEPS)
    cond, uncond = model.embed_prompts(prompts), model.embed_prompts([""] * len(prompts))
    shape = (len(prompts), 4, model.unet.config.sample_size, model.unet.config.sample_size)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(model.device)
    for level in reversed(range(1, schedule.steps + 1)):
        both = Conditioning.cat([uncond, cond])
        noise = model.predict(latents.repeat(2, 1, 1, 1), schedule.timestep(level), both, [0])
        guided = guide(*noise.chunk(2), GUIDANCE)
        latents = schedule.step(latents, guided, level)
    return decode(model, latents)


@torch.no_grad()
def inversion_psnr(model: DiffusionModel, scenes: Sequence[Scene]) -> float:
    """Mean PSNR of DDIM inversion and sampling at guidance 1 against the autoencoder's reconstruction."""
    schedule = ddim_schedule(model.alphas_cumprod, INVERSION_STEPS)
    start = model.encode_images([draw(shown) for shown in scenes])
    cond = model.embed_prompts([caption(shown) for shown in scenes])
    latents = invert_ode(model, start, cond, cond, schedule)[-1]
    for level in reversed(range(1, schedule.steps + 1)):
        noise = model.predict(latents, schedule.timestep(level), cond, [0])
        latents = schedule.step(latents, noise, level)
    pairs = zip(decode(model, start), decode(model, latents), strict=True)
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
def decode(model: DiffusionModel, latents: torch.Tensor) -> NDArray[np.uint8]:
    """Pictures of latents, ``[n, side, side, 3]``."""
    return model.decode_latents(latents)

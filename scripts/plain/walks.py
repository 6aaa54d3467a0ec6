"""Passes over the timesteps, each an explicit loop of DDIM steps."""

import torch
from torch.nn import functional

from piebench_eval.diffusion.schedules import Schedule
from piebench_eval.inversions.null_text import NullTextSettings
from piebench_eval.models.conditioning import Conditioning
from scripts.plain.controls import Control
from scripts.plain.model import PlainModel


def move(x, noise, alpha, alpha_next, fresh=None):
    """DDIM's step; with fresh noise that of eta 1."""
    image = (x - (1 - alpha) ** 0.5 * noise) / alpha**0.5
    if fresh is None:
        return alpha_next**0.5 * image + (1 - alpha_next) ** 0.5 * noise
    variance = deviation(alpha, alpha_next) ** 2
    direction = (1 - alpha_next - variance) ** 0.5 * noise
    return alpha_next**0.5 * image + direction + variance**0.5 * fresh


def deviation(alpha, alpha_next):
    return ((1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next)) ** 0.5


def inverted(model: PlainModel, z0, schedule: Schedule, text, uncond=None, guidance=1.0):
    """DDIM inversion: levels 0 to N; with ``uncond`` both halves are computed, whatever the guidance."""
    levels = [z0]
    for k, t in enumerate(schedule.timesteps):
        if uncond is None:
            noise = model.noise(levels[-1], t, text)
        else:
            noise = guided_noise(model, levels[-1], t, uncond, text, guidance)
        levels.append(move(levels[-1], noise, schedule.alphas[k], schedule.alphas[k + 1]))
    return levels


def unguided(model: PlainModel, start, schedule: Schedule, steps: int, text):
    """Conditional sampling of the lowest ``steps`` steps: what each leads to, from the first."""
    outputs, x = [], start
    for k in range(steps, 0, -1):
        noise = model.noise(x, schedule.timesteps[k - 1], text)
        x = move(x, noise, schedule.alphas[k], schedule.alphas[k - 1])
        outputs.append(x)
    return outputs


def guided_noise(model: PlainModel, x, t, unconds, texts, guidance, control=None):
    """Both halves in one call, for one or two branches."""
    noise = model.noise(torch.cat([x, x]), t, Conditioning.cat([unconds, texts]), control)
    uncond, cond = noise.chunk(2)
    return uncond + guidance * (cond - uncond)


def guided(model: PlainModel, start, schedule: Schedule, unconds, texts, guidance, maps=None):
    """Guided sampling of one or two branches without any control, down to the image.

    ``unconds``: per step, from level 1 up, a row per branch. ``maps``: noise of each step, likewise.
    """
    x = start
    for k in range(len(unconds), 0, -1):
        noise = guided_noise(model, x, schedule.timesteps[k - 1], unconds[k - 1], texts, guidance)
        x = move(x, noise, schedule.alphas[k], schedule.alphas[k - 1], maps and maps[k - 1])
    return x


def offsets(model: PlainModel, levels, schedule: Schedule, unconds, texts, guidance):
    """Direct Inversion: how far each guided step of both branches ends from the inversion, by level."""
    found = {}
    for k in range(schedule.steps, 0, -1):
        x = levels[k].repeat(2, 1, 1, 1)
        noise = guided_noise(model, x, schedule.timesteps[k - 1], unconds[k - 1], texts, guidance)
        found[k - 1] = levels[k - 1] - move(x, noise, schedule.alphas[k], schedule.alphas[k - 1])
    return found


def null_texts(
    model: PlainModel, levels, schedule: Schedule, text, uncond, guidance, settings: NullTextSettings
):
    """Null-text optimisation: latents that are reached, by level, and a row per step, from level 1."""
    x, reached, found, tokens = levels[-1], {schedule.steps: levels[-1]}, {}, uncond.tokens
    for i, k in enumerate(range(schedule.steps, 0, -1)):
        t, alphas = schedule.timesteps[k - 1], (schedule.alphas[k], schedule.alphas[k - 1])
        tokens = tokens.clone().requires_grad_()
        cond = model.noise(x, t, text)
        rate = settings.learning_rate * (1 - i / settings.quirks.rate_steps)
        optimizer = torch.optim.Adam([tokens], lr=rate)
        for _ in range(settings.inner_steps):
            with torch.enable_grad():
                noise = model.noise(x, t, uncond.with_tokens(tokens))
                moved = move(x, noise + guidance * (cond - noise), *alphas)
                loss = functional.mse_loss(moved, levels[k - 1])
            optimizer.zero_grad()
            loss.backward()
            model.backward += len(x)
            optimizer.step()
            if loss.item() < settings.stop_loss + settings.stop_loss_growth * i:
                break
        tokens = tokens.detach()
        found[k - 1] = uncond.with_tokens(tokens)
        x = move(x, guided_noise(model, x, t, found[k - 1], text, guidance), *alphas)
        reached[k - 1] = x
    model.unet.zero_grad()  # the weights' gradients were computed all along
    return reached, [found[k] for k in range(schedule.steps)]


def noise_maps(model: PlainModel, z0, schedule: Schedule, steps, text, uncond, seed):
    """Edit-friendly inversion over the lowest ``steps`` levels: noised pictures, and the maps between."""
    generator = torch.Generator().manual_seed(seed)
    levels = [z0]
    for alpha in schedule.alphas[1:]:
        fresh = torch.randn(z0.shape, generator=generator).to(z0)
        levels.append(alpha**0.5 * z0 + (1 - alpha) ** 0.5 * fresh)
    maps = [torch.zeros_like(z0)] * schedule.steps
    for k in range(schedule.steps, 0, -1):
        t, alphas = schedule.timesteps[k - 1], (schedule.alphas[k], schedule.alphas[k - 1])
        model.noise(levels[k], t, uncond)  # at guidance 1 it takes no part
        noise = model.noise(levels[k], t, text)
        mean = move(levels[k], noise, *alphas, torch.zeros_like(z0))
        if k > 1:
            maps[k - 1] = (levels[k - 1] - mean) / deviation(*alphas)
            levels[k - 1] = mean + deviation(*alphas) * maps[k - 1]
        else:
            levels[0] = mean
    return levels[: steps + 1], maps[:steps]


def both_branches(
    model: PlainModel,
    start,
    schedule: Schedule,
    unconds,
    texts,
    scales,
    control: Control,
    offset=None,
    maps=None,
    quantile=None,
):
    """The edit: four rows a step, source and target under a control; both branches' final latents.

    ``scales``: guidance of each branch. ``offset``: added to the source, by level. ``quantile``: of proximal
    guidance.
    """
    x = start.repeat(2, 1, 1, 1)
    scales = torch.tensor(scales, device=x.device).reshape(2, 1, 1, 1)
    for step in range(len(unconds)):
        control.step, k = step, len(unconds) - step
        rows = Conditioning.cat([unconds[k - 1], texts])
        noise = model.noise(torch.cat([x, x]), schedule.timesteps[k - 1], rows, control)
        uncond, cond = noise.chunk(2)
        difference = cond - uncond
        if quantile is not None:
            threshold = difference.abs().quantile(quantile)
            difference = difference - difference.clamp(-threshold, threshold)
        guided_both = uncond + scales * difference
        x = move(x, guided_both, schedule.alphas[k], schedule.alphas[k - 1], maps and maps[k - 1])
        if offset is not None:
            x = torch.cat([x[:1] + offset[k - 1][:1], x[1:]])
        x = control.after(x)
    return x


def beside_a_source(
    model: PlainModel, start, sources, schedule: Schedule, unconds, texts, guidance, control, maps=None
):
    """Plug-and-Play's edit: three rows a step, the source's latent taken from ``sources`` by level."""
    x = start
    for step in range(len(unconds)):
        control.step, k = step, len(unconds) - step
        rows = Conditioning.cat([texts.take([0]), unconds[k - 1], texts.take([1])])
        noise = model.noise(torch.cat([sources[k], x, x]), schedule.timesteps[k - 1], rows, control)
        _, uncond, cond = noise.chunk(3)
        noise = uncond + guidance * (cond - uncond)
        x = move(x, noise, schedule.alphas[k], schedule.alphas[k - 1], maps and maps[k - 1])
    return x

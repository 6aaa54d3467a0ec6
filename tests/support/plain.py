"""Prompt-to-Prompt by the plain implementation, on the model of a test."""

from piebench_eval.inversions import INVERSIONS
from piebench_eval.recipes.combination import Combination, CommonSettings
from scripts.plain import edit
from scripts.plain.model import plain_model


def plain_edit(diffusion_model, schedule, sample, z0, inversion, settings):
    """Edited latents of one sample; ``z0``: ``[1, 4, h, w]``."""
    found = INVERSIONS.get(inversion).settings()
    combination = Combination(
        inversion, "p2p", found, settings, CommonSettings(model="demo", steps=schedule.steps)
    )
    size = tuple(side * diffusion_model.vae_factor for side in z0.shape[2:])
    with plain_model(diffusion_model, size) as model:
        return edit.plain_edit(model, combination, sample, z0, schedule)

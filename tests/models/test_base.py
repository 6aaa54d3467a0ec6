"""Pixels in, pixels out."""

import numpy as np
import torch


def test_grey_levels_outside_the_range_are_clamped_or_wrap_around(model):
    latents = 40 * torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    clamped, wrapped = (model.decode_latents(latents, how)[0] for how in ("clamp", "wrap"))
    inside = (clamped > 0) & (clamped < 255)
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(clamped[inside], wrapped[inside])
    assert len(np.unique(wrapped[~inside])) > 10


def test_a_prompts_embedding_does_not_depend_on_its_neighbours(model):
    alone = model.embed_prompts(["a cat"])
    together = model.embed_prompts(["a dog", "a cat", "", "a cat"])
    assert together.take([1]).equals(alone) and together.take([3]).equals(alone)

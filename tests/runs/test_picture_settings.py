"""What a recipe says of pictures on their way in and out reaches the edit."""

import numpy as np
import pytest
import torch

from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.models.cache import Cache
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, edit_latents, encode_inputs


def combination(**settings):
    fields = {"model": "x", "inversions": ["ddim"], "methods": ["plain"], "steps": 1, "resolution": 128}
    return build_recipe({**fields, **settings}, {}, "test").combination("ddim", "plain")


def test_grey_levels(model, samples):
    (truncated,) = edit_batch(model, samples[:1], combination())
    (rounded,) = edit_batch(model, samples[:1], combination(grey_levels="round"))
    assert rounded.latents.equal(truncated.latents)
    for edit, whole in ((truncated, "truncate"), (rounded, "round")):
        np.testing.assert_array_equal(edit.image, model.decode_latents(edit.latents[None], whole=whole)[0])
    assert (rounded.image != truncated.image).any()


def test_a_posteriors_sample_is_of_the_recipes_seed(model, samples):
    edits = [
        edit_latents(model, samples[:1], combination(**settings))[0]
        for settings in ({}, {"seed": 1}, {"posterior": "sample"}, {"posterior": "sample", "seed": 1})
    ]
    assert edits[0].equal(edits[1]) and not edits[2].equal(edits[3]) and not edits[0].equal(edits[2])


@pytest.mark.parametrize(("family", "added"), [("flux", 0.437), ("sd3", 0.101)])
def test_a_shift_that_is_added_moves_the_autoencoders_latents_by_a_constant(
    model_of, samples, monkeypatch, family, added
):
    """As UniEdit-Flow's version for diffusers encodes; decoding takes the shift as it is."""
    model = model_of(family)
    monkeypatch.setattr(model, "cache", Cache({}))
    right, moved = (
        encode_inputs(model, samples[:1], 128, added_shift=way).latents / model.vae.config.scaling_factor
        for way in (False, True)
    )
    torch.testing.assert_close(moved - right, torch.full_like(right, added), atol=5e-4, rtol=0)


def test_a_recipes_added_shift_reaches_the_edit(model_of, samples):
    edits = [
        edit_latents(model_of("flux"), samples[:1], combination(quirks={"added_shift": way}))[0]
        for way in (False, True)
    ]
    assert (edits[1] - edits[0]).abs().max() > 0.05


def test_an_inversion_draws_what_the_posterior_has_not_drawn(model, samples):
    """Each sample of a batch has the noise that it has alone."""
    of_mean, of_sample = (
        encode_inputs(model, samples[:2], 128, seed=5, posterior=posterior)
        for posterior in ("mean", "sample")
    )
    first, *others = drawn_noise(of_mean, 3)
    assert torch.equal(drawn_noise(of_sample, 2), torch.stack(others))
    assert first[0].equal(first[1])
    assert of_sample.latents.equal(
        torch.cat(
            [encode_inputs(model, [one], 128, seed=5, posterior="sample").latents for one in samples[:2]]
        )
    )

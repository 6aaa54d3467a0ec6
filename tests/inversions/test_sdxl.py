"""Every inversion on Stable Diffusion XL: what an unconditional row is conditioned on besides tokens."""

import dataclasses

import pytest
import torch

from piebench_eval.models.nfe import EvaluationCounter
from tests.runs.test_combinations import STEPS, run
from tests.support.pairs import marked
from tests.support.sampling import source_end

METHODS = {
    "p2p": {"self_replace_downsampling": 4},
    "masactrl": {"start_layer": 6, "start_step": 1},
    "pnp": {"first_attention_layer": 6},
    "proximal": {},
}


def source_error(model, samples, inversion, **settings):
    _, _, inputs, sources = run(model, samples, inversion, "p2p", inversion_settings=settings)
    return (sources[-1] - inputs.latents).square().mean().sqrt().item()


@pytest.mark.slow  # as Stable Diffusion 1.x's, tests/inversions/test_inversions.py
def test_null_text_brings_the_source_nearer(sdxl, samples):
    by_ddim = source_error(sdxl, samples[:1], "ddim")
    assert source_error(sdxl, samples[:1], "null_text", learning_rate=0.1, inner_steps=8) < 0.9 * by_ddim


def test_null_text_tunes_the_tokens_of_both_encoders_and_leaves_the_rest(sdxl, samples):
    _, inverted, inputs, _ = run(
        sdxl, samples[:1], "null_text", "p2p", inversion_settings={"inner_steps": 2, "stop_loss": 0}
    )
    width = sdxl.text_encoder.config.hidden_size
    for found in inverted.uncond_embeds:
        moved = (found.tokens - inputs.uncond_embeds.tokens).abs()
        assert moved[..., :width].max() > 1e-3 and moved[..., width:].max() > 1e-3
        assert torch.equal(found.pooled, inputs.uncond_embeds.pooled)
        assert torch.equal(found.vectors["time_ids"], inputs.uncond_embeds.vectors["time_ids"])
        assert found.tokens.dtype == torch.float32


def test_negative_prompts_unconditional_rows_are_wholly_the_sources(sdxl, samples):
    _, inverted, inputs, _ = run(sdxl, samples[:2], "negative_prompt", "p2p")
    assert inputs.source_embeds.pooled.any() and not inputs.uncond_embeds.pooled.any()
    for found in inverted.uncond_embeds:
        assert found.equals(inputs.source_embeds)
        assert torch.equal(found.pooled, inputs.source_embeds.pooled)


def test_under_direct_the_source_ends_at_the_picture(sdxl, samples):
    assert source_error(sdxl, samples[:2], "direct") < 1e-5


def test_edit_friendlys_noise_maps_retrace_its_noised_pictures(sdxl, samples):
    """With equal prompts and without guidance, the target goes where the source is."""
    same = [
        dataclasses.replace(sample, marked_target_prompt=sample.marked_source_prompt) for sample in samples
    ]
    edits, inverted, *_ = run(sdxl, same[:2], "edit_friendly", "plain", guidance=1.0)
    assert (inverted.trajectory[-1] - inverted.trajectory[0]).abs().max() > 0.1
    torch.testing.assert_close(edits, source_end(inverted), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("inversion", "method"),
    [
        # Most methods under Direct Inversion are in tests/runs/test_combinations.py as well.
        pytest.param(inversion, method, marks=pytest.mark.slow)
        if inversion == "direct" and method != "proximal"
        else marked(inversion, method)
        for inversion in ("ddim", "direct", "null_text", "negative_prompt", "edit_friendly")
        for method in METHODS
    ],
)
def test_every_inversion_goes_with_every_method(sdxl, samples, inversion, method):
    """A finite edit that the method's control changes; both samples of a batch are edited."""
    options = {"inner_steps": 1} if inversion == "null_text" else {}
    sdxl.evaluations = EvaluationCounter()
    edits, _, inputs, _ = run(
        sdxl, samples[:2], inversion, method, inversion_settings=options, **METHODS[method]
    )
    assert edits.isfinite().all()
    assert ((edits - inputs.latents).flatten(1).abs().amax(dim=1) > 1e-2).all()
    plain, *_ = run(sdxl, samples[:2], inversion, "plain", inversion_settings=options)
    assert ((edits - plain).flatten(1).abs().amax(dim=1) > 1e-3).all()
    assert set(sdxl.evaluations.forward) == {0, 1} and sdxl.evaluations.forward[0] >= 2 * STEPS

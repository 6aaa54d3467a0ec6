"""Pix2Pix-Zero: the target's embedding is moved, and its latents follow the gradient of its attention."""

from dataclasses import replace

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models import loading, onednn
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.batch_editing import encode_inputs

STEPS, METHOD = 3, METHODS.get("pix2pix_zero")


def run(model, samples, inversion="direct", guidance=7.5, inversion_settings=None, **settings):
    """Edited latents, and the sums over samples of the layers' distances, step by step."""
    entry, chosen = INVERSIONS.get(inversion), METHOD.settings(**settings)
    texts = [METHOD.prompts(sample, chosen) for sample in samples]
    inputs = encode_inputs(model, samples, 128, texts, guidance=Guidance(guidance, 1.0))
    schedule = ddim_schedule(model.alphas_cumprod, STEPS)
    model.evaluations = EvaluationCounter()
    inverted = entry.invert(model, inputs, schedule, entry.settings(**inversion_settings or {}))
    controller = METHOD.prepare(samples, model, STEPS, chosen).controller
    distances, distance = [], controller._distance
    controller._distance = lambda *layer: distances.append(distance(*layer)) or distances[-1]
    edited = edit(model, inputs, inverted, controller, schedule)
    of_steps = torch.stack([each.detach() for each in distances]).reshape(STEPS, -1).sum(dim=1)
    return edited, of_steps, inputs


@pytest.fixture(scope="module")
def moved(model, samples):
    """By a small step, which does not overshoot on random weights."""
    return run(model, samples[:2], attention_guidance=1e-3)


def test_the_target_has_the_captions_embedding_moved_by_the_prompts_difference(model, samples, moved):
    sample, inputs = samples[0], moved[2]
    embeds = [model.embed_prompts([text]).tokens[0] for text in (sample.source_prompt, sample.target_prompt)]
    torch.testing.assert_close(
        inputs.target_embeds.tokens[0], inputs.source_embeds.tokens[0] + embeds[1] - embeds[0]
    )
    captioned = METHOD.prompts(sample, METHOD.settings(caption="a photo"))
    assert (captioned.inversion, captioned.source, captioned.negative) == ("a photo",) * 3


def test_the_gradient_brings_attention_nearer_to_the_source(model, samples, moved):
    _, still, _ = run(model, samples[:2], attention_guidance=0)
    assert moved[1][1:].sum() < still[1:].sum()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN")
def test_maps_that_are_compared_are_computed_by_the_same_kernels(tiny_model, samples, monkeypatch):
    for module in (onednn, loading):
        monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    sample = replace(samples[0], marked_target_prompt=samples[0].marked_source_prompt)
    _, distances, _ = run(load_model(str(tiny_model)), [sample], guidance=1.0)
    assert distances[0] == 0, "both branches begin with the same latents and text"


def test_a_batch_gives_what_its_samples_give_alone(model, samples, moved):
    for place in range(2):
        alone, *_ = run(model, [samples[place]], attention_guidance=1e-3)
        torch.testing.assert_close(moved[0][place], alone[0], atol=1e-4, rtol=0)


def test_evaluations(model, samples, moved):
    """Inversion, source, and the target's rows twice, once differentiated; offsets cost the source's rows."""
    run(model, samples[:1])
    assert (model.evaluations.forward[0], model.evaluations.backward[0]) == (6 * STEPS, 2 * STEPS)
    run(model, samples[:1], inversion_settings={"target_offset": True}, guidance=1.0)
    assert (model.evaluations.forward[0], model.evaluations.backward[0]) == (5 * STEPS, STEPS)

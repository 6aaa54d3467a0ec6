"""Guidance of the two branches: their scales, the rows that they cost, and what a method may change of it."""

from dataclasses import replace

import pytest
import torch

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.guidance import Guidance, guide
from piebench_eval.diffusion.loop import edit, plan_edit
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.diffusion.rows import Branch, Row, SourceReads
from piebench_eval.diffusion.solvers import MIDPOINT
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.runs.batch_editing import encode_inputs
from piebench_eval.runs.edit_inputs import plan_guidance, plan_schedule
from tests.support.sampling import step_along

STEPS = 3

EVERY_ROW = {row for row in Row if row.branch is not Branch.MUTUAL}


class Reading(AttentionController):
    """Reads the source latent after every step, and notes it."""

    def __init__(self, num_samples):
        super().__init__(num_samples)
        self.sources = []

    def source_reads(self, step):
        return [SourceReads(latent=True)] * self.num_samples

    def on_step_end(self, step, source, target):
        self.sources.append(source)
        return target


class Bending(AttentionController):
    """Keeps the target's guidance where it is largest, as Uni-Edit does with the mask of its velocities."""

    modifies_target_guidance = True

    def modify_target_guidance(self, target):
        return bent(target)


def bent(difference):
    size = difference.abs().mean(dim=1, keepdim=True)
    return difference * (size / size.amax(dim=(-2, -1), keepdim=True))


class Halving(AttentionController):
    """Halves what the model predicts, and notes what it was asked with."""

    def __init__(self, num_samples):
        super().__init__(num_samples)
        self.asked = []

    def after_prediction(self, latents, output, schedule, level):
        self.asked.append((self.step, self.stage, level, latents))
        return output / 2


def inverted_by(model, sample, inversion="direct", **common):
    """Inputs, inversion and schedule of one sample."""
    common = CommonSettings(model="small", steps=STEPS, **common)
    schedule = plan_schedule(model, common)
    inputs = encode_inputs(model, [sample], 128, guidance=plan_guidance(model, common))
    entry = INVERSIONS.get(inversion)
    return inputs, entry.invert(model, inputs, schedule, entry.settings()), schedule


@torch.no_grad()
def sampled(model, inputs, inverted, schedule, guided):
    """The target branch written out; ``guided`` makes one output of both halves."""
    latents = inverted.trajectory[-1]
    for level in reversed(range(1, schedule.steps + 1)):
        texts = inputs.negative_embeds, inputs.target_embeds
        halves = [model.predict(latents, schedule.timestep(level), text, [0]) for text in texts]
        latents = step_along(inverted, schedule, latents, guided(*halves), level)
    return latents


def kinds_of_rows(inputs, inverted, controller):
    (steps,) = plan_edit(inputs, inverted, controller)
    return set().union(*(step.rows for step in steps))


@pytest.mark.parametrize("scale", [7.5, 1.0])
def test_bending_the_targets_guidance_costs_no_row_of_the_source(model, samples, scale):
    inputs, inverted, schedule = inverted_by(model, samples[0], guidance=scale)
    model.evaluations = EvaluationCounter()
    edited = edit(model, inputs, inverted, Bending(1), schedule)
    assert model.evaluations.forward[0] == 2 * STEPS
    assert kinds_of_rows(inputs, inverted, Bending(1)) == {Row.TARGET_UNCOND, Row.TARGET_COND}
    expected = sampled(
        model, inputs, inverted, schedule, lambda uncond, cond: uncond + scale * bent(cond - uncond)
    )
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)
    unbent = edit(model, inputs, inverted, AttentionController(1), schedule)
    assert (edited - unbent).abs().max() > 0.1


def test_a_prediction_can_be_changed_after_it_is_made(model, samples):
    inputs, inverted, schedule = inverted_by(model, samples[0])
    controller = Halving(1)
    edited = edit(model, inputs, inverted, controller, schedule)
    expected = sampled(model, inputs, inverted, schedule, lambda *halves: guide(*halves, 7.5) / 2)
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)
    assert [asked[:3] for asked in controller.asked] == [(step, 0, STEPS - step) for step in range(STEPS)]
    assert torch.equal(controller.asked[0][3], inverted.trajectory[-1])


def test_every_stage_of_a_step_can_be_changed(model_of, samples):
    model = model_of("instaflow")
    inputs, inverted, schedule = inverted_by(model, samples[0])
    controller = Halving(1)
    edit(model, inputs, replace(inverted, solver=MIDPOINT), controller, schedule)
    stages = [(step, stage, STEPS - step) for step in range(STEPS) for stage in (0, 1)]
    assert [asked[:3] for asked in controller.asked] == stages
    first, middle = (latents for *_, latents in controller.asked[:2])
    assert torch.equal(first, inverted.trajectory[-1]) and not torch.equal(first, middle)


def test_a_source_of_its_own_scale(model, samples):
    """At scale 1 it needs no unconditional row, and is sampled without guidance."""
    inputs, inverted, schedule = inverted_by(model, samples[0], "ddim", source_guidance=1.0)
    assert inputs.guidance == Guidance(7.5, 1.0)
    assert kinds_of_rows(inputs, inverted, Reading(1)) == EVERY_ROW - {Row.SOURCE_UNCOND}
    alike = replace(inputs, guidance=Guidance(7.5))
    assert kinds_of_rows(alike, inverted, Reading(1)) == EVERY_ROW
    controller = Reading(1)
    model.evaluations = EvaluationCounter()
    edited = edit(model, inputs, inverted, controller, schedule)
    assert model.evaluations.forward[0] == 3 * STEPS
    unguided = sample_ode(
        model, inverted.trajectory[-1], inputs.source_embeds, inputs.uncond_embeds, schedule
    )
    torch.testing.assert_close(torch.stack(controller.sources[::-1]), unguided[:-1], atol=1e-4, rtol=0)
    of_alike = Reading(1)
    torch.testing.assert_close(edit(model, alike, inverted, of_alike, schedule), edited, atol=1e-4, rtol=0)
    assert (of_alike.sources[-1] - controller.sources[-1]).abs().max() > 0.1


def test_an_embedded_scale_is_told_to_each_row(model_of, samples, monkeypatch):
    model = model_of("lcm")
    inputs, inverted, schedule = inverted_by(model, samples[0], "ddim", guidance=4.0, source_guidance=2.0)
    assert inputs.guidance == Guidance(4.0, 2.0, "embedded")
    assert kinds_of_rows(inputs, inverted, Reading(1)) == {Row.SOURCE_COND, Row.TARGET_COND}
    told, denoise = [], type(model).denoise

    def noting(model, latents, time, conditioning):
        told.append(conditioning.vectors["guidance"].tolist())
        return denoise(model, latents, time, conditioning)

    monkeypatch.setattr(type(model), "denoise", noting)
    edit(model, inputs, inverted, Reading(1), schedule)
    assert told == [[2.0, 4.0]] * STEPS


def test_a_recipe_can_ask_for_unconditional_rows(model_of, samples):
    inputs, inverted, _ = inverted_by(model_of("lcm"), samples[0], "ddim", guidance_policy="classifier_free")
    assert kinds_of_rows(inputs, inverted, Reading(1)) == EVERY_ROW

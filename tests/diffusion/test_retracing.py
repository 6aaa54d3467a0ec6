"""What the source's own steps miss, taken from the edit's own rows or found before the edit."""

import dataclasses

import pytest
import torch

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit, plan_edit
from piebench_eval.diffusion.rows import Branch, SourceReads
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs

STEPS, SIDE = 5, 128
BLENDED, INSERTED, UNBLENDED, HALF_FOUND = range(4)
P2P = {"self_replace_steps": 0.4, "cross_replace_steps": 0.4}
ALL = {1, 2, 3, 4, 5}


class Case:
    """An inversion of two pictures, of which only the first has a blended word, and edits by a method.

    Attributes:
        asked: the levels and samples of which what is missed has been evaluated apart.
    """

    def __init__(self, model, samples, inversion, method, fields, guidance=None):
        self.model, self.samples = model, [samples[BLENDED], samples[UNBLENDED]]
        self.entry, self.guidance = METHODS.get(method), guidance or Guidance(2.3, source=1.0)
        self.settings = self.entry.settings(**fields)
        texts = [self.entry.prompts(sample, self.settings) for sample in self.samples]
        self.inputs = encode_inputs(model, self.samples, SIDE, texts, guidance=self.guidance)
        self.schedule, self.asked = ddim_schedule(model.alphas_cumprod, STEPS), set()
        of_inversion = INVERSIONS.get(inversion)
        settings = of_inversion.settings(**({"skip": 0} if inversion == "edit_friendly" else {}))
        inverted = of_inversion.invert(model, self.inputs, self.schedule, settings)
        retracing = dataclasses.replace(inverted.retracing, find=self._find)
        self._found = inverted.retracing.find
        self.inverted = dataclasses.replace(inverted, retracing=retracing, offsets=None)

    def _find(self, level, samples):
        self.asked |= {(level, sample) for sample in samples}
        return self._found(level, samples)

    def controller(self):
        return self.entry.prepare(self.samples, self.model, STEPS, self.settings).controller

    def edited(self, inverted=None):
        """Latents, and where the source was after each step."""
        controller, sources = self.controller(), []
        end_step = controller.end_step

        def recording(step, latents):
            sources.append(latents[Branch.SOURCE])
            return end_step(step, latents)

        controller.end_step = recording
        arguments = self.model, self.inputs, inverted or self.inverted, controller, self.schedule
        return edit(*arguments), sources


@pytest.mark.parametrize(
    ("inversion", "method", "fields", "apart"),
    [
        ("ddcm", "plain", {}, [ALL, ALL]),
        ("ddcm", "p2p", P2P, [set(), {1, 2, 3}]),  # the blend reads the source in every step
        ("edit_friendly", "p2p", P2P, [set(), {1, 2, 3}]),
        ("turboedit", "p2p", P2P, [set(), {1, 2, 3}]),
        ("edit_friendly", "masactrl", {"start_step": 2, "start_layer": 4}, [{4, 5}] * 2),
        ("edit_friendly", "pnp", {}, [ALL, ALL]),  # whose source branch has the empty prompt
        ("edit_friendly", "pnp", {"source_prompt": "sample"}, [{1}] * 2),
        ("edit_friendly", "proximal", {}, [ALL, ALL]),  # which modifies the source's guidance
        ("edit_friendly", "infedit", {"local_blend": False}, [{1, 2}] * 2),
    ],
)
def test_nothing_is_evaluated_apart_that_the_edit_evaluates(model, samples, inversion, method, fields, apart):
    case = Case(model, samples, inversion, method, fields)
    latents, sources = case.edited()
    levels = [{level for level, sample in case.asked if sample == place} for place in range(2)]
    assert levels == apart
    # The source is where it is with offsets that were all found before, and so is the target.
    given = dataclasses.replace(case.inverted, offsets=case.inverted.offsets)
    expected, sources_then = case.edited(given)
    torch.testing.assert_close(torch.stack(sources), torch.stack(sources_then), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents, expected, atol=2e-3, rtol=0)
    assert (sources[-1] - case.inputs.latents).abs().max() > 1e-3 or inversion != "edit_friendly"


def test_a_guided_sources_own_steps_have_both_rows(model, samples):
    case = Case(model, samples, "ddcm", "p2p", P2P, Guidance(2.3, source=3.0))
    case.model.evaluations = EvaluationCounter()
    latents, _ = case.edited()
    # Before the edit and in it two rows of each step of the source; two of each of the target.
    assert case.model.evaluations.forward == {0: 4 * STEPS, 1: 4 * STEPS}
    torch.testing.assert_close(latents, case.edited(dataclasses.replace(case.inverted))[0], atol=2e-3, rtol=0)


def test_rows_that_are_told_another_guidance_scale_are_not_the_inversions(model_of, samples):
    """A latent consistency model is told the scale: edit-friendly inversion's is 1."""
    for source, apart in ((None, ALL), (1.0, set())):
        case = Case(
            model_of("lcm"),
            samples,
            "edit_friendly",
            "p2p",
            {"cross_replace_steps": 1.0},
            Guidance(2.3, source, policy="embedded"),
        )
        case.edited()
        assert {level for level, _ in case.asked} == apart


class Louder(AttentionController):
    """Reads the source in every step, and changes its rows as it does the target's."""

    def source_reads(self, step):
        return [SourceReads(cond=True)] * self.num_samples

    def attend(self, layer, query, key, value):
        return 1.3 * super().attend(layer, query, key, value)


def test_the_source_is_told_the_same_scale_before_the_edit_and_in_it(model_of, samples):
    """It has unconditional rows beside the scale that a latent consistency model is told: 1."""
    guidance = Guidance(2.3, source=1.0, embedded=4.0)
    case = Case(model_of("lcm"), samples, "edit_friendly", "p2p", {"cross_replace_steps": 1.0}, guidance)
    latents, _ = case.edited()
    given = dataclasses.replace(case.inverted, offsets=case.inverted.offsets)
    torch.testing.assert_close(latents, case.edited(given)[0], atol=2e-3, rtol=0)


def test_nothing_is_taken_from_rows_that_a_method_may_have_changed(model, samples):
    case = Case(model, samples, "edit_friendly", "p2p", P2P)
    arguments = case.model, case.inputs
    latents = edit(*arguments, case.inverted, Louder(2), case.schedule)
    assert {level for level, _ in case.asked} == ALL
    given = dataclasses.replace(case.inverted, offsets=case.inverted.offsets)
    assert torch.equal(latents, edit(*arguments, given, Louder(2), case.schedule))


def test_offsets_that_are_given_are_what_is_added(model, samples):
    case = Case(model, samples, "edit_friendly", "p2p", P2P)
    given = dataclasses.replace(case.inverted, offsets=0 * case.inverted.offsets)
    moved, sources = case.edited(given)
    latents, expected = case.edited()
    assert (moved - latents).abs().max() > 1e-2
    torch.testing.assert_close(torch.stack(sources), torch.stack(expected), atol=1e-4, rtol=0)


def combinations():
    fields = {
        "model": "unused",
        "resolution": SIDE,
        "steps": STEPS,
        "inversions": {"edit_friendly": {"skip": 0}},
        "methods": {"p2p": P2P, "plain": {}, "pnp": {}},
    }
    recipe = build_recipe(fields, {}, "test")
    return {pair[1]: recipe.combination(*pair) for pair in recipe.pairs}


@pytest.mark.parametrize("order", [("p2p", "plain", "pnp"), ("pnp", "plain", "p2p")])
def test_methods_share_what_is_evaluated_apart(model, samples, order):
    """No bit depends on it, and of each level it is computed once."""
    alone, shared, reused = {}, {}, {}
    chosen = combinations()
    for name in order:
        alone[name], _ = edit_latents(model, [samples[UNBLENDED]], chosen[name])
    model.cache = Cache({})
    try:
        for name in order:
            model.evaluations = EvaluationCounter()
            shared[name], _ = edit_latents(model, [samples[UNBLENDED]], chosen[name])
            reused[name] = model.evaluations.reused[0]
    finally:
        model.cache = None
    assert all(torch.equal(alone[name], shared[name]) for name in order)
    first, second, third = (reused[name] for name in order)
    assert (first, second, third) == ((0, 3, 5) if order[0] == "p2p" else (0, 5, 3))


def test_each_sample_of_a_batch_costs_what_it_costs_alone(model, samples):
    chosen, both = combinations()["p2p"], [samples[BLENDED], samples[UNBLENDED]]
    model.evaluations = EvaluationCounter()
    together, _ = edit_latents(model, both, chosen)
    of_both = model.evaluations.forward
    for place, sample in enumerate(both):
        model.evaluations = EvaluationCounter()
        alone, _ = edit_latents(model, [sample], chosen)
        assert model.evaluations.forward[0] == of_both[place] == 3 * STEPS
        torch.testing.assert_close(together[place], alone[0], atol=1e-4, rtol=0)


def test_of_a_batch_those_share_that_have_something_to_share(model, samples):
    """The first sample's blend reads the source in every step: nothing of it is evaluated apart."""
    chosen, both = combinations()["p2p"], [samples[BLENDED], samples[UNBLENDED]]
    model.cache = Cache({})
    try:
        for _ in range(2):
            model.evaluations = EvaluationCounter()
            edit_latents(model, both, chosen)
    finally:
        model.cache = None
    assert [model.evaluations.reused[place] for place in range(2)] == [0, 3]
    assert model.evaluations.forward == {0: 3 * STEPS, 1: 3 * STEPS}


def test_a_method_may_look_at_all_offsets(model, samples):
    case = Case(model, samples, "edit_friendly", "p2p", P2P)
    plan = plan_edit(case.inputs, case.inverted, case.controller())
    assert not case.asked and any(step.moves_source for step in plan[0])
    assert "5 steps, 2 samples" in repr(case.inverted) and not case.asked
    found = case.inverted.offsets
    assert found.shape == (STEPS, *case.inputs.latents.shape) and not found[0].any()
    assert len(case.asked) == 2 * STEPS
    case.asked.clear()
    assert torch.equal(case.inverted.offsets, found) and not case.asked
    for level in range(2, STEPS + 1):
        way = case.inverted.trajectory[level - 1] - case.inverted.trajectory[level]
        assert torch.equal(case.inverted.source_step(level), way - found[level - 1])

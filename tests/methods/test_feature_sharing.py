"""Feature sharing: what is kept of an inversion, where sampling finds it, and who goes with it."""

import dataclasses

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from piebench_eval.diffusion.features import FeatureMemory
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import FlowSchedule
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.attention import AttentionLayer, plain_attention
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import encode_inputs

SIGMAS = (0.0, 0.2, 0.5, 0.8, 1.0)
SCHEDULE = FlowSchedule(tuple(1000 * sigma for sigma in SIGMAS[1:]), SIGMAS)
STEPS = len(SIGMAS) - 1
SIDE = 64
EVERYTHING = {"inject": STEPS, "first_layer": 0}


@pytest.fixture(scope="module")
def model(tiny_sd3):
    return load_model(str(tiny_sd3))


def prepared(model, samples, guidance=1.0, **settings):
    """A controller, and inputs whose inversion keeps what it asks for."""
    method = METHODS.get("feature_sharing")
    controller = method.prepare(samples, model, STEPS, method.settings(**settings)).controller
    inputs = encode_inputs(model, samples, SIDE, guidance=Guidance(guidance))
    return controller, dataclasses.replace(inputs, features=controller.features)


def inverted(model, inputs, inversion, **settings):
    entry = INVERSIONS.get(inversion)
    return entry.invert(model, inputs, SCHEDULE, entry.settings(**settings))


def edited(model, samples, inversion="rf_solver", guidance=1.0, **settings):
    controller, inputs = prepared(model, samples, guidance, **settings)
    return edit(model, inputs, inverted(model, inputs, inversion), controller, SCHEDULE)


class Values:
    """The values of all joint attentions of one call."""

    def __init__(self):
        self.found = {}

    def attend(self, layer, query, key, value):
        self.found[layer.index] = value
        return plain_attention(query, key, value)


@torch.no_grad()
def values_of(model, inputs, latents, time):
    hook = Values()
    with model.attention_through(hook, latents.shape[-2:]):
        model.predict(latents, time, inputs.inversion_embeds, range(len(latents)))
    return hook.found


def test_what_an_inversion_computes_is_kept_by_step_and_evaluation(model, samples):
    """The midpoint's two evaluations of the steps next to the noise; others are not kept."""
    controller, inputs = prepared(model, samples[:2], inject=2, first_layer=1)
    trajectory = inverted(model, inputs, "rf_solver").trajectory
    memory, some_layer = controller.memory, AttentionLayer("joint", 1, 2, (1, 1))
    assert list(memory.levels) == [3, 4]
    for level in memory.levels:
        first = values_of(model, inputs, trajectory[level - 1], 1000 * SIGMAS[level - 1])
        torch.testing.assert_close(memory.read(level, -2, some_layer, "value"), first[1], atol=1e-5, rtol=0)
        middle = memory.read(level, -1, some_layer, "value")
        assert not torch.equal(middle, first[1]) and middle.shape == first[1].shape
        below = dataclasses.replace(some_layer, index=0)
        assert memory.read(level, -1, below, "value") is None
        assert memory.read(level, -1, some_layer, "key") is None
    assert memory.read(2, -1, some_layer, "value") is None
    held = memory.held["host"]
    memory.forget(4)
    assert memory.held["host"] == held / 2


def test_fireflow_keeps_no_first_evaluation_but_that_of_its_first_step(model, samples):
    controller, inputs = prepared(model, samples[:1], **EVERYTHING)
    inverted(model, inputs, "fireflow")
    layer = AttentionLayer("joint", 0, 2, (1, 1))
    for level in range(1, STEPS + 1):
        assert controller.memory.read(level, -1, layer, "value") is not None
        assert (controller.memory.read(level, -2, layer, "value") is not None) == (level == 1)


@pytest.mark.parametrize("inversion", ["rf_solver", "uni_inv"])
def test_steps_are_counted_from_where_sampling_starts(model, samples, inversion):
    settings = {"alpha": 0.5} if inversion == "uni_inv" else {}
    controller, inputs = prepared(model, samples[:1], inject=1, first_layer=0)
    found = inverted(model, inputs, inversion, **settings)
    assert list(controller.memory.levels) == [found.steps]


@pytest.mark.parametrize("inversion", ["euler", "rf_solver", "fireflow", "uni_inv", "direct"])
def test_nothing_shared_is_plain_sampling_and_sharing_is_not(model, samples, inversion):
    method = METHODS.get("plain")
    inputs = encode_inputs(model, samples[:1], SIDE, guidance=Guidance(1.0))
    controller = method.prepare(samples[:1], model, STEPS, method.settings()).controller
    plain = edit(model, inputs, inverted(model, inputs, inversion), controller, SCHEDULE)
    for nothing in ({"inject": 0}, {"first_layer": 99}, {"editing_strategy": []}):
        assert torch.equal(edited(model, samples[:1], inversion, **{**EVERYTHING, **nothing}), plain)
    assert (edited(model, samples[:1], inversion, **EVERYTHING) - plain).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("strategy", "ratios"),
    [
        (["add_v"], {"value_ratio": 0.0}),
        (["add_q", "add_k"], {"query_ratio": 0.0, "key_ratio": 0.0}),
    ],
)
def test_adding_nothing_is_no_sharing(model, samples, strategy, ratios):
    shared = edited(model, samples[:1], editing_strategy=strategy, **EVERYTHING, **ratios)
    torch.testing.assert_close(shared, edited(model, samples[:1], inject=0), atol=1e-6, rtol=0)


def test_replacing_comes_before_adding(model, samples):
    """Which together are twice the inversion's."""
    both = edited(model, samples[:1], editing_strategy=["add_v", "replace_v"], **EVERYTHING)
    twice = edited(model, samples[:1], editing_strategy=["replace_v"], value_ratio=2.0, **EVERYTHING)
    torch.testing.assert_close(both, twice, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="names an operation twice"):
        METHODS.get("feature_sharing").settings(editing_strategy=["add_v", "add_v"])


def test_the_texts_tokens_are_shared_unless_told_otherwise(model, samples):
    all_tokens, of_image = (
        edited(model, samples[:1], tokens=tokens, **EVERYTHING) for tokens in ("all", "image")
    )
    assert (all_tokens - of_image).abs().max() > 1e-5


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_batch_gives_what_its_samples_give_alone(model, samples, guidance):
    together = edited(model, samples[:2], "fireflow", guidance, **EVERYTHING)
    for place in (0, 1):
        alone = edited(model, [samples[place]], "fireflow", guidance, **EVERYTHING)
        torch.testing.assert_close(together[place], alone[0], atol=1e-4, rtol=0)


def test_nothing_is_left_after_an_edit_and_the_cache_has_no_part_in_it(model, samples):
    model.cache = Cache({})
    try:
        for _ in range(2):  # a trajectory from the cache would keep nothing
            controller, inputs = prepared(model, samples[:1], **EVERYTHING)
            found = inverted(model, inputs, "rf_solver")
            assert controller.memory.held["host"] > 0
            edit(model, inputs, found, controller, SCHEDULE)
            assert controller.memory.held == {"device": 0, "host": 0}
    finally:
        model.cache = None


def test_what_exceeds_the_budget_goes_to_the_host():
    """On a GPU that is not there."""
    layer = AttentionLayer("joint", 0, 2, (1, 1))
    with FakeTensorMode():
        states = torch.empty(1, 2, 3, 4, device="cuda")
        memory = FeatureMemory(lambda layer: True, 1, ["value", "key"], device_bytes=states.nbytes)
        memory.begin_inversion(1)
        memory.begin_evaluation(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "empty", unpinned(torch.empty))
            memory.attend(layer, states, states, states)
        kept = {name: memory.read(1, -1, layer, name).device.type for name in ("value", "key")}
    assert kept == {"value": "cuda", "key": "cpu"}
    assert memory.held == {"device": states.nbytes, "host": states.nbytes}


def unpinned(empty):
    """Without a GPU there is no pinned memory."""
    return lambda *shape, pin_memory=False, **kind: empty(*shape, **kind)


def test_inversions_that_keep_nothing_are_refused(tiny_sd3):
    def recipe(inversion):
        fields = {"model": str(tiny_sd3), "inversions": [inversion], "methods": ["feature_sharing"]}
        built = build_recipe(fields, {}, "test")
        return [built.combination(*pair) for pair in built.pairs]

    require_compatible(recipe("rf_solver"))
    for inversion in ("flowedit", "flow_align", "dnaedit"):
        with pytest.raises(PiebenchError, match=rf"{inversion} keeps nothing of that; use euler, rf_solver"):
            require_compatible(recipe(inversion))

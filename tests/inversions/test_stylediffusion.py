"""StyleDiffusion: what values are made of is learned, sample by sample; keys keep the prompt."""

import dataclasses

import pytest
import torch

from piebench_eval.diffusion.guidance import guide
from piebench_eval.diffusion.mapping_network import MappingNetwork
from piebench_eval.diffusion.rows import Row
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.diffusion.value_texts import ValueTexts
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.stylediffusion import MapCollector
from piebench_eval.models.cache import Cache
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.runs.store.records import EditKey

ENTRY = INVERSIONS.get("stylediffusion")
UPDATES = 3


@pytest.fixture(scope="module")
def schedule(model):
    """Two steps: each update is a call with a gradient."""
    return ddim_schedule(model.alphas_cumprod, 2)


def invert(model, inputs, schedule, **settings):
    return ENTRY.invert(model, inputs, schedule, ENTRY.settings(**settings))


@pytest.fixture(scope="module")
def inverted(model, inputs, schedule):
    return invert(model, inputs, schedule, inner_steps=UPDATES)


@torch.no_grad()
def sampled(model, inputs, schedule, inverted, values):
    """Where guided sampling of the source leads from its start, level by level."""
    latents, everyone = inverted.trajectory[-1], range(len(inputs.latents))
    found = [latents]
    for level in reversed(range(1, schedule.steps + 1)):
        texts = {Row.SOURCE_UNCOND: inputs.uncond_embeds, Row.SOURCE_COND: inputs.source_embeds}
        rows = inverted.values.apart(texts, level) if values else texts
        outputs = [model.predict(latents, schedule.timestep(level), rows[row], everyone) for row in texts]
        latents = schedule.step(latents, guide(*outputs, inputs.guidance.of_source), level)
        found.append(latents)
    return torch.stack(found[::-1])


def test_the_source_is_sampled_along_its_trajectory(model, inputs, schedule, inverted):
    found = sampled(model, inputs, schedule, inverted, values=True)
    torch.testing.assert_close(found, inverted.trajectory, atol=2e-4, rtol=0)


def test_it_ends_nearer_to_the_picture_than_the_prompt_alone(model, inputs, schedule, inverted):
    near, far = (sampled(model, inputs, schedule, inverted, values)[0] for values in (True, False))
    apart = [(end - inputs.latents).square().mean(dim=(1, 2, 3)) for end in (near, far)]
    assert (apart[0] < 0.9 * apart[1]).all()


def test_no_sample_depends_on_another(model, samples, schedule, inverted):
    alone = invert(model, encode_inputs(model, samples[1:2], 128), schedule, inner_steps=UPDATES)
    assert torch.equal(alone.trajectory, inverted.trajectory[:, 1:])
    assert torch.equal(alone.values.shifts, inverted.values.shifts[:, 1:])


def test_evaluations_are_counted_for_their_sample(model, inputs, schedule):
    """A step whose first update is good enough has no second one."""
    model.evaluations = EvaluationCounter()
    invert(model, inputs, schedule, stop_loss=1e9)
    assert model.evaluations.backward == {0: 2, 1: 2}
    assert model.evaluations.forward == {0: 4 * 2, 1: 4 * 2}


def test_activations_may_be_computed_again(model, samples, schedule):
    """Texts of values come with the call, so that they are there when it is repeated for a gradient."""
    inputs = encode_inputs(model, samples[:1], 128)
    plain = invert(model, inputs, schedule, inner_steps=2)
    model.unet.enable_gradient_checkpointing()
    try:
        again = invert(model, inputs, schedule, inner_steps=2)
    finally:
        model.unet.disable_gradient_checkpointing()
    assert torch.equal(again.values.scales, plain.values.scales)


def test_a_cache_keeps_what_was_learned_whatever_the_target_takes_of_it(model, samples, schedule):
    inputs = encode_inputs(model, samples[:1], 128)
    model.cache, model.evaluations = Cache({}), EvaluationCounter()
    try:
        every, none = (
            invert(model, inputs, schedule, inner_steps=1, value_steps=share) for share in (1.0, 0.0)
        )
    finally:
        model.cache = None
    assert (every.values.target_steps, none.values.target_steps) == (2, 0)
    assert torch.equal(every.values.scales, none.values.scales)
    assert model.evaluations.reused[0] == 2 * 4 + 2  # backward, too


def test_values_have_texts_of_their_own_and_keys_do_not(model, inputs):
    """The maps of the first layer are the prompt's, whatever the values."""
    text, latents = inputs.source_embeds, inputs.latents

    def evaluate(conditioning):
        collector = MapCollector()
        with torch.no_grad(), model.attention_through(collector, tuple(latents.shape[-2:])):
            return model.predict(latents, 500, conditioning, [0, 1]), collector.maps[0]

    plain, same = evaluate(text), evaluate(text.with_values(text.tokens))
    assert torch.equal(plain[0], same[0])
    other = evaluate(text.with_values(text.tokens.flip(1)))
    assert torch.equal(evaluate(text)[0], plain[0])  # texts of one kind are read as before
    assert not torch.equal(other[0], plain[0])


def test_the_target_has_such_values_in_the_noisiest_steps_alone():
    text = Conditioning(torch.ones(1, 2, 3))
    texts = dict.fromkeys(Row, text)
    values = ValueTexts(torch.full((4, 1, 2, 3), 2.0), torch.full((4, 1, 2, 3), 5.0), target_steps=1)
    changed = {
        level: {
            row for row, found in values.apart(texts, level).items() if found.vectors["values"].mean() == 7
        }
        for level in (4, 3)
    }
    assert changed == {
        4: {Row.SOURCE_COND, Row.TARGET_COND, Row.MUTUAL_COND},
        3: {Row.SOURCE_COND},
    }
    assert all(torch.equal(found.tokens, text.tokens) for found in values.apart(texts, 4).values())


def test_first_weights_are_those_of_pytorchs_layers():
    """As the published code has them: the hidden layer's, then the first's and the last's."""
    torch.manual_seed(7)
    hidden, start, end = (torch.nn.Conv1d(given, 154, 1) for given in (154, 197, 154))
    network = MappingNetwork(197, 77, 7, torch.device("cpu"))
    for name, layer in (("hidden", hidden), ("start", start), ("end", end)):
        assert torch.equal(network.parameters[f"{name}.weight"], layer.weight[..., 0])
        assert torch.equal(network.parameters[f"{name}.bias"], layer.bias)
    tokens, norm = torch.randn(197, 32), torch.nn.BatchNorm1d(154).train()
    published = end(torch.nn.functional.leaky_relu(norm(hidden(start(tokens[None])))))
    torch.testing.assert_close(network(tokens).flatten(0, 1), published[0], atol=1e-5, rtol=0)


def test_an_edit_takes_the_planned_rows(model, tiny_model, samples):
    never_stops = {"inner_steps": 1, "stop_loss": 0, "stop_loss_growth": 0}
    fields = {"model": str(tiny_model), "steps": 2, "resolution": 128, "methods": ["p2p"]}
    recipe = build_recipe({**fields, "inversions": {"stylediffusion": never_stops}}, {}, "test")
    cost = count_evaluations(recipe, samples[:1])[EditKey("stylediffusion", "p2p", samples[0].id)]
    model.evaluations = EvaluationCounter()
    edit_latents(model, samples[:1], recipe.combination("stylediffusion", "p2p"))
    assert (model.evaluations.forward[0], model.evaluations.backward[0]) == (cost.forward, cost.backward)


@pytest.mark.slow
def test_rows_at_50_steps(tiny_model, samples):
    """The published script takes 1671 forward and 1071 backward."""
    file = recipe_file("stylediffusion")
    recipe = build_recipe(read_recipe_fields(file), {"model": str(tiny_model)}, "test")
    cost = count_evaluations(recipe, samples[:1])[EditKey("stylediffusion", "p2p", samples[0].id)]
    # Inverted, unconditional rows, updates, steps; then the target's, and the source's while they are read.
    assert (cost.forward, cost.backward) == (50 + 50 + 1071 + 50 + 2 * 50 + 30, 1071)


@pytest.mark.slow
def test_another_seed_begins_with_another_network(model, inputs, schedule):
    one, other = (
        invert(model, dataclasses.replace(inputs, seed=seed), schedule, inner_steps=1) for seed in (1, 2)
    )
    assert not torch.equal(one.values.scales, other.values.scales)

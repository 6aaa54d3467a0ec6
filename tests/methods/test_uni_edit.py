"""Uni-Edit's equations, and its edits by them."""

from dataclasses import replace

import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.methods import METHODS
from piebench_eval.methods.uni_edit import UniEditController, UniEditSettings, difference_mask
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents

STEPS = 2


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def combination(model="x", method="uni_edit", common=None, **settings):
    fields = {"model": str(model), "inversions": ["ddim"], "methods": {method: settings}, "steps": STEPS}
    fields |= {"resolution": 128, "guidance": 1.0, **(common or {})}
    return build_recipe(fields, {}, "test").combination("ddim", method)


@pytest.mark.parametrize("mask", ["magnitude", "signed"])
def test_the_targets_output_is_bent_as_the_published_code_writes_it(mask):
    """v = m v_T + (1 - m) v_S + omega (1 + m) d, each picture with a mask of its own."""
    of_target, of_source = drawn(0, 2, 4, 5, 6), drawn(1, 2, 4, 5, 6)
    difference = of_target - of_source
    controller = UniEditController(2, UniEditSettings(omega=3.0, mask=mask))
    found = of_source + controller.modify_target_guidance(difference)
    for place in range(2):
        size = (difference[place].abs() if mask == "magnitude" else difference[place]).mean(dim=0)
        m = (size - size.min()) / (size.max() - size.min())
        expected = m * of_target[place] + (1 - m) * of_source[place] + 3.0 * (1 + m) * difference[place]
        torch.testing.assert_close(found[place], expected, atol=2e-5, rtol=0)
        torch.testing.assert_close(difference_mask(difference, mask)[place, 0], m, atol=1e-5, rtol=0)
    assert controller.modify_target_guidance(difference[1:]).equal(
        controller.modify_target_guidance(difference)[1:]
    )


@pytest.mark.parametrize("mask", ["magnitude", "signed"])
def test_equal_prompts_give_plain_sampling(model, samples, mask):
    assert not difference_mask(torch.zeros(2, 4, 3, 3), mask).any()
    same = replace(samples[0], marked_target_prompt=samples[0].marked_source_prompt)
    assert same.target_prompt == same.source_prompt
    latents, _ = edit_latents(model, [same], combination(mask=mask, inversion_prompt="source"))
    expected, _ = edit_latents(model, [same], combination(method="plain"))
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)


def test_the_target_alone_is_sampled_away_from_the_source_prompt(model, samples):
    """Two rows a step, both on the target's latents."""
    model.evaluations = EvaluationCounter()
    calls, denoise = [], model.denoise

    def noting(latents, time, conditioning):
        calls.append((latents, conditioning.tokens))
        return denoise(latents, time, conditioning)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "denoise", noting)
        edit_latents(model, samples[:1], combination())
    of_edit = calls[STEPS:]
    texts = model.embed_prompts([samples[0].source_prompt, samples[0].target_prompt]).tokens
    assert len(of_edit) == STEPS and model.evaluations.forward[0] == 3 * STEPS
    for latents, tokens in of_edit:
        assert latents[0].equal(latents[1]) and tokens.equal(texts)


def test_the_inversions_prompt(samples):
    for chosen, expected in (("empty", ""), ("source", samples[0].source_prompt)):
        prompts = METHODS.get("uni_edit").prompts(samples[0], UniEditSettings(inversion_prompt=chosen))
        assert (prompts.inversion, prompts.negative) == (expected, samples[0].source_prompt)


def test_an_embedded_guidance_scale_is_refused(tiny_lcm):
    with pytest.raises(PiebenchError, match="uni_edit needs unconditional rows"):
        require_compatible([combination(tiny_lcm)])
    require_compatible([combination(tiny_lcm, common={"guidance_policy": "classifier_free"})])

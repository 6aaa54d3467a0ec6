"""EDICT: its steps undo its inversion, and both latents take a method's control."""

import dataclasses

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.ode import follow
from piebench_eval.diffusion.rows import Row
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.diffusion.solvers import coupled
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.edict import problem
from piebench_eval.methods import METHODS
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import encode_inputs

ENTRY = INVERSIONS.get("edict")
P2P_WITHOUT_BLEND = {"local_blend": False, "blend_word_weight": 1}


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def test_a_step_undoes_the_inverse_step(model):
    schedule, solver = ddim_schedule(model.alphas_cumprod, 10), coupled(8, 0.93)
    pair = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))

    def predict(at, time):
        return torch.sin(3 * at) + time / 1000

    for level in (1, 2, 8):
        up, _ = follow(solver.inverse_walk(schedule, pair, level, schedule.timestep(level)), predict)
        down, _ = follow(solver.walk(schedule, up, level), predict)
        torch.testing.assert_close(down, pair, atol=1e-5, rtol=0)
        walk = solver.walk(schedule, up, level)
        first, time = next(walk)
        second, _ = walk.send(predict(first, time))
        for stop, told in zip((first, second), solver.stops(up, pair, level), strict=True):
            torch.testing.assert_close(told, stop, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("steps", "guidance", "strength"), [(10, 3.0, 0.8), (5, 7.5, 1.0)])
def test_the_source_prompt_reconstructs_the_picture(model, samples, steps, guidance, strength):
    same = [dataclasses.replace(each, marked_target_prompt=each.marked_source_prompt) for each in samples[:2]]
    inputs = encode_inputs(model, same, 128, guidance=Guidance(guidance))
    schedule = ddim_schedule(model.alphas_cumprod, steps)
    model.evaluations = EvaluationCounter()
    inverted = ENTRY.invert(model, inputs, schedule, ENTRY.settings(strength=strength))
    controller = METHODS.get("plain").prepare(same, model, steps, METHODS.get("plain").settings()).controller
    found = edit(model, inputs, inverted, controller, schedule)
    assert relative(found, inputs.latents) < 1e-5
    assert model.evaluations.forward == dict.fromkeys(range(2), 8 * int(strength * steps))


@pytest.fixture(scope="module", params=["inverted", "edited"])
def calls(request, model, samples):
    """Where the source's and the target's rows were evaluated under Prompt-to-Prompt, call by call."""
    steps, method = 5, METHODS.get("p2p")
    inputs = encode_inputs(model, samples[:1], 128, guidance=Guidance(3.0))
    schedule = ddim_schedule(model.alphas_cumprod, steps)
    inverted = ENTRY.invert(model, inputs, schedule, ENTRY.settings(source_latents=request.param))
    chosen = method.settings(cross_replace_steps=1, self_replace_steps=1, **P2P_WITHOUT_BLEND)
    controller = method.prepare(samples[:1], model, steps, chosen).controller
    seen, predict = [], model.predict

    def recording(latents, *arguments):
        seen.append(dict(zip(controller.rows.samples_by_row, latents, strict=True)))
        return predict(latents, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "predict", recording)
        edit(model, inputs, inverted, controller, schedule)
    return request.param, inverted, seen


def test_where_the_source_is_evaluated(calls):
    """Where its own steps would be, which the inversion tells; or at the target's latents."""
    source_latents, inverted, seen = calls
    assert len(seen) == 2 * inverted.steps
    assert all(set(at) == {Row.SOURCE_COND, Row.TARGET_UNCOND, Row.TARGET_COND} for at in seen)
    if source_latents == "edited":
        assert all(torch.equal(at[Row.SOURCE_COND], at[Row.TARGET_COND]) for at in seen)
        return
    torch.testing.assert_close(seen[0][Row.SOURCE_COND], inverted.trajectory[-1][0, 4:].float())
    apart = [(at[Row.SOURCE_COND] - at[Row.TARGET_COND]).abs().max() for at in seen]
    assert apart[0] == 0 and min(apart[1:]) > 0


def refusal(model, method, **sections):
    fields = {
        "model": str(model),
        "steps": 5,
        "inversions": {"edict": {}},
        "methods": {method: {}},
        **sections,
    }
    recipe = build_recipe(fields, {}, "test")
    with pytest.raises(PiebenchError) as error:
        require_compatible([recipe.combination("edict", method)])
    return str(error.value)


def test_what_makes_no_sense_is_refused(tiny_model):
    assert "moves the latents where they are evaluated" in refusal(tiny_model, "pix2pix_zero")
    edited = {"inversions": {"edict": {"source_latents": "edited"}}}
    assert "method.local_blend=true" in refusal(tiny_model, "p2p", **edited)
    assert "takes none of 1 steps" in problem(1, ENTRY.settings())
    assert CommonSettings(model="").steps == 50 and problem(50, ENTRY.settings()) is None

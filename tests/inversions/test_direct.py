"""Direct Inversion, and its ablations of the offset."""

import pytest
import torch

from piebench_eval.diffusion.guidance import guide
from piebench_eval.diffusion.schedules import ddim_step
from piebench_eval.inversions.direct import DirectSettings, direct
from piebench_eval.inversions.trajectory import TrajectorySettings, inverted_trajectory
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from tests.inversions.conftest import STEPS


@pytest.fixture(scope="module")
def inverted(model, inputs, schedule):
    return inverted_trajectory(model, inputs, schedule, TrajectorySettings())


def result_and_rows(model, inputs, schedule, **settings):
    model.evaluations = EvaluationCounter()
    result = direct(model, inputs, schedule, DirectSettings(**settings))
    return result, model.evaluations.forward[0]


def test_the_whole_offset_is_the_trajectory_and_costs_nothing(model, inputs, schedule, inverted):
    result, rows = result_and_rows(model, inputs, schedule)
    assert torch.equal(result.trajectory, inverted) and result.source_mode == "fixed" and rows == STEPS


@pytest.mark.parametrize(
    ("settings", "shares", "sampled"),
    [
        ({"scale": 0.4}, [0.4] * 5, 5),
        ({"interval": 2}, [1, 0, 1, 0, 1], 2),
        ({"interval": 49}, [1, 0, 0, 0, 0], 4),
        ({"scale": 0.8, "interval": 3}, [0.8, 0, 0, 0.8, 0], 5),
    ],
)
@torch.no_grad()
def test_a_part_of_it_leads_where_the_equation_says(
    model, inputs, schedule, inverted, settings, shares, sampled
):
    result, rows = result_and_rows(model, inputs, schedule, **settings)
    assert rows == STEPS + 2 * sampled
    latents, everyone = inverted[-1], range(2)
    for share, level in zip(shares, range(STEPS, 0, -1), strict=True):
        time = schedule.timesteps[level - 1]
        cond, uncond = (
            model.predict(latents, time, text, everyone)
            for text in (inputs.source_embeds, inputs.uncond_embeds)
        )
        alphas = schedule.alphas[level], schedule.alphas[level - 1]
        step = ddim_step(latents, guide(uncond, cond, inputs.guidance.of_source), *alphas)
        latents = step + share * (inverted[level - 1] - step)
        torch.testing.assert_close(result.trajectory[level - 1], latents, atol=1e-4, rtol=0)


def test_without_offsets_it_is_ddim_inversion(model, samples):
    fields = {"model": "unused", "inversions": ["ddim", "direct"], "methods": ["p2p"], "steps": STEPS}
    recipe = build_recipe(fields, {"inversion.direct.scale": 0}, "test")
    one, other = (
        edit_latents(model, samples[:2], recipe.combination(name, "p2p"))[0] for name in ("ddim", "direct")
    )
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_a_batch_walks_as_its_samples_do(model, samples, schedule):
    def sampled(chosen):
        inputs = encode_inputs(model, chosen, 128)
        return direct(model, inputs, schedule, DirectSettings(scale=0.5)).trajectory

    together = sampled(samples[:2])
    alone = torch.cat([sampled([sample]) for sample in samples[:2]], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)

"""TurboEdit's shifted levels, its limited noise map, and what it shares with edit-friendly inversion."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS, turboedit
from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.inversions.turboedit import within_norm
from piebench_eval.models.cache import Cache
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, edit_latents, encode_inputs
from tests.inversions.conftest import STEPS
from tests.support.sampling import source_end

FIELDS = {
    "model": "x",
    "steps": 4,
    "timesteps": [799, 599, 399, 199],
    "set_alpha_to_one": True,
    "guidance": 1.5,
    "seed": 2,
    "inversions": {"turboedit": {"max_norm": None}},
    "methods": {"plain": {"negative_prompt": "source"}},
}


@pytest.fixture(autouse=True)
def no_cache(model):
    model.cache = None
    yield
    model.cache = None


def invert(model, inputs, schedule, **settings):
    entry = INVERSIONS.get("turboedit")
    return entry.invert(model, inputs, schedule, entry.settings(**settings))


def combination(**overrides):
    return build_recipe(FIELDS, overrides, "test").combination("turboedit", "plain")


def test_by_default_each_latent_has_the_noise_of_the_level_that_its_step_leads_to(model, inputs, schedule):
    trajectory = invert(model, inputs, schedule).trajectory
    assert torch.equal(trajectory[0], inputs.latents) and torch.equal(trajectory[1], inputs.latents)
    noise = drawn_noise(inputs, STEPS - 1)  # the noisiest first
    for level in range(2, STEPS + 1):
        expected = schedule.noised(inputs.latents, noise[STEPS - level], level - 1)
        torch.testing.assert_close(trajectory[level], expected, rtol=0, atol=1e-6)


def test_chosen_levels_are_those_of_the_training_timesteps(model, inputs, schedule):
    chosen = [900, 700, 500, 0, -1]
    trajectory = invert(model, inputs, schedule, noise_timesteps=chosen).trajectory
    assert all(torch.equal(latents, inputs.latents) for latents in trajectory[:3])
    for level, timestep, noise in zip((5, 4, 3), chosen, drawn_noise(inputs, 3), strict=False):
        alpha = model.alphas_cumprod[timestep]
        expected = alpha**0.5 * inputs.latents + (1 - alpha) ** 0.5 * noise
        torch.testing.assert_close(trajectory[level], expected, rtol=0, atol=1e-6)


def test_the_noise_is_one_draw_of_a_generator_on_the_cpu(model, inputs, schedule):
    """Each sample's is the same draw, whatever else is in its batch; it is the published code's."""
    trajectory = invert(model, inputs, schedule).trajectory
    count = STEPS - 1
    drawn = torch.randn(
        (count, *inputs.latents.shape[1:]), generator=torch.Generator().manual_seed(inputs.seed)
    )
    assert torch.equal(drawn_noise(inputs, count), drawn[:, None].expand(-1, len(inputs.latents), -1, -1, -1))
    other = invert(model, replace(inputs, seed=inputs.seed + 1), schedule).trajectory
    assert not torch.equal(trajectory[-1], other[-1])


def test_at_the_schedules_own_levels_it_is_edit_friendly_but_for_the_last_map(
    model, inputs, schedule, monkeypatch
):
    """The order of the draws apart: edit-friendly inversion begins at the picture."""
    monkeypatch.setattr(turboedit, "drawn_noise", lambda *arguments: drawn_noise(*arguments).flip(0))
    ours = invert(model, inputs, schedule, noise_timesteps=schedule.timesteps[::-1], max_norm=None)
    entry = INVERSIONS.get("edit_friendly")
    theirs = entry.invert(model, inputs, schedule, entry.settings(skip=0))
    assert ours.solver is theirs.solver and ours.source_mode == theirs.source_mode
    torch.testing.assert_close(ours.trajectory[1:], theirs.trajectory[1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.offsets[1:], theirs.offsets[1:], rtol=0, atol=1e-4)
    assert not theirs.offsets[0].count_nonzero()
    # The one step without a map is where edit-friendly inversion misses the picture.
    missed = inputs.latents - source_end(theirs)
    torch.testing.assert_close(ours.offsets[0], missed, rtol=0, atol=1e-4)


def test_only_the_last_noise_map_is_limited_and_only_above_the_limit(model, inputs, schedule):
    unlimited = invert(model, inputs, schedule, max_norm=None)
    norms = unlimited.offsets[0].flatten(1).norm(dim=1)
    between = norms.mean().item()
    limited = invert(model, inputs, schedule, max_norm=between)
    assert torch.equal(limited.offsets[1:], unlimited.offsets[1:])
    assert torch.equal(limited.trajectory, unlimited.trajectory)
    torch.testing.assert_close(limited.offsets[0].flatten(1).norm(dim=1), norms.clamp(max=between))
    unreached = invert(model, inputs, schedule, max_norm=2 * norms.max().item())
    assert torch.equal(unreached.offsets, unlimited.offsets)


@given(
    seed=st.integers(0, 99),
    norm=st.floats(0.01, 60),
    scales=st.lists(st.floats(0, 3), min_size=1, max_size=3),
)
def test_a_limited_map_keeps_its_direction(seed, norm, scales):
    maps = torch.randn((len(scales), 4, 8, 8), generator=torch.Generator().manual_seed(seed))
    maps = maps * torch.tensor(scales)[:, None, None, None]
    limited = within_norm(maps, norm)
    for place, (before, after) in enumerate(zip(maps, limited, strict=True)):
        length = before.norm().item()
        assert after.norm().item() == pytest.approx(min(length, norm), rel=1e-5)
        if length < 0.999 * norm:
            assert torch.equal(before, after)
        torch.testing.assert_close(after * length, before * after.norm(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(within_norm(maps[place : place + 1], norm)[0], after, rtol=1e-6, atol=1e-6)


def test_with_equal_prompts_the_target_ends_at_the_picture_whatever_the_weight(model, samples):
    same = [replace(one, marked_target_prompt=one.marked_source_prompt) for one in samples[:2]]
    for guidance in (0.0, 1.0, 3.0):
        target, _ = edit_latents(model, same, combination(guidance=guidance))
        picture = encode_inputs(model, same, 128).latents
        torch.testing.assert_close(target, picture, rtol=0, atol=1e-4)


@pytest.mark.parametrize("max_norm", [pytest.param(None, marks=pytest.mark.slow), 0.5])
def test_in_a_batch_is_alone(model, samples, max_norm):
    chosen = combination(**{"inversion.max_norm": max_norm})
    together, _ = edit_latents(model, samples[:3], chosen)
    for place, sample in enumerate(samples[:3]):
        alone, _ = edit_latents(model, [sample], chosen)
        torch.testing.assert_close(together[place], alone[0], rtol=0, atol=1e-4)


def test_another_target_prompt_shares_the_sources_evaluations(model, samples):
    """One row per step, whose noise maps hold for every target prompt, guidance and limit."""
    model.cache = Cache({})
    first, *others = (
        edit_batch(model, [sample], chosen)[0]
        for sample, chosen in (
            (samples[0], combination()),
            (replace(samples[0], id="b", marked_target_prompt="a photo of a dog"), combination()),
            (samples[0], combination(guidance=1.25)),
            (samples[0], combination(**{"inversion.max_norm": 0.5})),
        )
    )
    assert (first.nfe_forward, first.nfe_reused) == (12, 0)
    assert [(other.nfe_forward, other.nfe_reused) for other in others] == [(12, 4)] * 3
    assert all(not torch.equal(first.latents, other.latents) for other in others)


def test_a_cache_tells_levels_and_seeds_apart(model, inputs, schedule):
    model.cache = Cache({})
    found = [
        invert(model, changed, schedule, **settings).offsets
        for changed, settings in (
            (inputs, {}),
            (inputs, {"noise_timesteps": [900, 700, 500, 300, 0]}),
            (replace(inputs, seed=inputs.seed + 1), {}),
            (replace(inputs, inversion_embeds=inputs.target_embeds), {}),
        )
    ]
    assert len({offsets.sum().item() for offsets in found}) == len(found)
    guided = invert(model, replace(inputs, guidance=Guidance(3.0)), schedule)
    assert torch.equal(guided.offsets, found[0])


@pytest.mark.parametrize("timesteps", [[299, 599, 0, 0], [599, 599, 0, 0], [599, 0, 299, 0], [1000, 0, 0, 0]])
def test_levels_that_do_not_descend_are_refused(timesteps):
    with pytest.raises(PiebenchError, match=r"turboedit\.noise_timesteps"):
        combination(**{"inversion.noise_timesteps": timesteps})


def test_other_levels_than_steps_are_refused(model, inputs, schedule):
    with pytest.raises(PiebenchError, match="noise_timesteps: are 2, but steps is 5; make them equal"):
        invert(model, inputs, schedule, noise_timesteps=[599, 0])


def test_a_single_step_starts_at_the_picture(model, inputs):
    inverted = invert(model, inputs, ddim_schedule(model.alphas_cumprod, 1), max_norm=None)
    assert torch.equal(inverted.trajectory[1], inputs.latents)

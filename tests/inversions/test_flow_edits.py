"""FlowEdit, FlowAlign, DNAEdit and RF-Inversion beside their published loops, written out."""

import dataclasses
from functools import partial

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import FlowSchedule
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.packing import packed
from piebench_eval.runs.batch_editing import encode_inputs

SIGMAS = (0.0, 0.05, 0.4, 0.7, 1.0)
SCHEDULE = FlowSchedule(tuple(1000 * sigma for sigma in SIGMAS[1:]), SIGMAS, "image")
STEPS = len(SIGMAS) - 1
GUIDANCE, SEED = Guidance(3.0, 1.5), 7


@pytest.fixture(scope="module")
def batch(instaflow, samples):
    return encode_inputs(instaflow, samples[:2], 128, guidance=GUIDANCE, seed=SEED)


@pytest.fixture(autouse=True)
def counted(instaflow):
    instaflow.evaluations = EvaluationCounter()


def edited(
    model, samples, inputs, inversion, method="plain", of_inversion=None, beforehand=False, **settings
):
    """Edited latents; with all offsets found ``beforehand``, or where they are needed."""
    entry, of_method = INVERSIONS.get(inversion), METHODS.get(method)
    inverted = entry.invert(model, inputs, SCHEDULE, entry.settings(**of_inversion or {}))
    if beforehand:
        inverted = dataclasses.replace(inverted, offsets=inverted.offsets)
    chosen = of_method.settings(**settings)
    controller = of_method.prepare(samples[:2], model, STEPS, chosen).controller
    return edit(model, inputs, inverted, controller, SCHEDULE)


@torch.no_grad()
def velocity(model, text, uncond, scale, latents, sigma):
    """Towards the noise, guided; InstaFlow's points to the image."""
    found = [-model.predict(latents, 1000 * sigma, each, range(len(latents))) for each in (uncond, text)]
    return found[0] + scale * (found[1] - found[0])


def velocities(model, inputs, source=GUIDANCE.source, target=GUIDANCE.target):
    """Of the source and of the target, as functions of latents and share of noise."""
    return (
        partial(velocity, model, inputs.source_embeds, inputs.uncond_embeds, source),
        partial(velocity, model, inputs.target_embeds, inputs.negative_embeds, target),
    )


class Draws:
    """Noise in the order of drawing: each sample's generator begins at the seed."""

    def __init__(self, latents):
        self.shape, self.generator = latents[:1].shape, torch.Generator().manual_seed(SEED)
        self.samples = len(latents)

    def __call__(self):
        return torch.randn(self.shape, generator=self.generator).expand(self.samples, -1, -1, -1)


def close(found, expected, atol=2e-5):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def flowedit(v_source, v_target, z0, n_max, n_min, n_avg):
    """Kulikov et al., algorithm 1, as its code runs it."""
    draw, z = Draws(z0), z0
    for level in range(n_max, n_min, -1):
        sigma, way, difference = SIGMAS[level], SIGMAS[level - 1] - SIGMAS[level], 0
        for _ in range(n_avg):
            source = (1 - sigma) * z0 + sigma * draw()
            difference += (v_target(z + source - z0, sigma) - v_source(source, sigma)) / n_avg
        z = z + way * difference
    if n_min:
        z = z + SIGMAS[n_min] * (draw() - z0)
    for level in range(n_min, 0, -1):
        z = z + (SIGMAS[level - 1] - SIGMAS[level]) * v_target(z, SIGMAS[level])
    return z


@pytest.mark.parametrize(
    ("n_max", "n_min", "n_avg"),
    [
        (4, 0, 1),
        (3, 1, 2),
        (2, 2, 1),
        *(pytest.param(*others, marks=pytest.mark.slow) for others in ((3, 0, 1), (3, 0, 2), (4, 2, 1))),
    ],
)
def test_flowedit(instaflow, samples, batch, n_max, n_min, n_avg):
    settings = {"n_max": n_max, "n_min": n_min, "n_avg": n_avg}
    found = edited(instaflow, samples, batch, "flowedit", of_inversion=settings)
    # Two rows of the source and two of the target for each draw, two of the target where there is none.
    rows = 4 * (n_max - n_min) * n_avg + 2 * n_min
    assert instaflow.evaluations.forward == dict.fromkeys((0, 1), rows)
    close(found, flowedit(*velocities(instaflow, batch), batch.latents, n_max, n_min, n_avg))


def test_flowedits_source_is_computed_once_for_all_target_prompts(instaflow, samples, batch):
    instaflow.cache = Cache({})
    try:
        of_one = edited(instaflow, samples, batch, "flowedit", of_inversion={"n_avg": 2})
        other = dataclasses.replace(batch, target_embeds=batch.source_embeds)
        of_other = edited(instaflow, samples, other, "flowedit", of_inversion={"n_avg": 2})
    finally:
        instaflow.cache = None
    edits, draws = 3, 2  # 33 of 50 are 3 of 4
    assert instaflow.evaluations.reused[0] == 2 * edits * draws
    close(of_one, flowedit(*velocities(instaflow, batch), batch.latents, edits, 0, draws))
    close(of_other, flowedit(*velocities(instaflow, other), batch.latents, edits, 0, draws))


@pytest.mark.parametrize(("n_min", "n_avg"), [(0, 2), (1, 1)])
def test_a_source_that_is_read_is_not_evaluated_twice(instaflow, samples, batch, n_min, n_avg):
    """Both rows of each draw, whether a method reads one or not; without an offset the one that it reads."""
    inversion = {"n_min": n_min, "n_avg": n_avg}
    off = {"local_blend": False, "self_replace_steps": 0, "cross_replace_steps": 0.0}
    rows, found = [], []
    for settings in (off, off | {"cross_replace_steps": 1.0}):
        instaflow.evaluations = EvaluationCounter()
        found.append(edited(instaflow, samples, batch, "flowedit", "p2p", inversion, **settings))
        rows.append(instaflow.evaluations.forward[0])
    of_differences = 4 * (3 - n_min) * n_avg
    assert rows == [of_differences + 2 * n_min, of_differences + 3 * n_min]
    assert not torch.equal(*found)
    arguments = instaflow, samples, batch, "flowedit", "p2p", inversion
    close(edited(*arguments, beforehand=True, **settings), found[1], atol=2e-4)


@pytest.mark.parametrize(
    ("inversion", "settings"),
    [("flowedit", {}), ("flow_align", {}), ("dnaedit", {}), ("direct", {"scale": 0.5})],
)
def test_the_source_is_shared_by_the_targets_scales(instaflow, batch, inversion, settings):
    entry = INVERSIONS.get(inversion)
    instaflow.cache = Cache({})
    try:
        for guidance in (GUIDANCE, Guidance(5.0, GUIDANCE.source)):
            inputs = dataclasses.replace(batch, guidance=guidance)
            instaflow.evaluations = EvaluationCounter()
            inverted = entry.invert(instaflow, inputs, SCHEDULE, entry.settings(**settings))
            _ = inverted.offsets  # some are found when they are read
    finally:
        instaflow.cache = None
    assert instaflow.evaluations.reused[0] == instaflow.evaluations.forward[0] > 0


def test_with_equal_prompts_and_scales_flowedit_returns_the_picture(instaflow, samples, batch):
    same = dataclasses.replace(batch, target_embeds=batch.source_embeds, guidance=Guidance(2.0))
    close(edited(instaflow, samples, same, "flowedit"), batch.latents)


def test_every_method_is_a_partner_of_flowedit(instaflow, samples, batch):
    """Its source is pinned, so that attention can read it: here its keys and values, at every draw."""
    settings = {"start_step": 0, "start_layer": 0, "source_prompt": "sample"}
    shared = edited(instaflow, samples, batch, "flowedit", "masactrl", {"n_avg": 2}, **settings)
    apart = edited(instaflow, samples, batch, "flowedit", of_inversion={"n_avg": 2})
    assert shared.isfinite().all() and (shared - apart).abs().max() > 1e-2
    same = dataclasses.replace(batch, target_embeds=batch.source_embeds, guidance=Guidance(2.0))
    close(edited(instaflow, samples, same, "flowedit", "masactrl", {"n_avg": 2}, **settings), batch.latents)


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"n_max": 5}, "n_max=5: is more than the 4 steps"), ({"n_min": 4}, "n_min=4: is more than n_max, 3")],
)
def test_flowedit_refuses_more_steps_than_there_are(instaflow, samples, batch, settings, why):
    with pytest.raises(PiebenchError, match=why):
        edited(instaflow, samples, batch, "flowedit", of_inversion=settings)


def flow_align(v_source, v_target, z0, weight):
    """FlowAlign's loop; its source is not guided."""
    draw, x = Draws(z0), z0
    for level in range(STEPS, 0, -1):
        sigma, way = SIGMAS[level], SIGMAS[level - 1] - SIGMAS[level]
        q = (1 - sigma) * z0 + sigma * draw()
        p = x + q - z0
        v_p, v_q = v_target(p, sigma), v_source(q, sigma)
        x = x + way * (v_p - v_q) + weight * ((q - sigma * v_q) - (p - sigma * v_p))
    return x


@pytest.mark.parametrize("weight", [pytest.param(0.01, marks=pytest.mark.slow), 0.3])
def test_flow_align(instaflow, samples, batch, weight):
    negative = dataclasses.replace(batch, negative_embeds=batch.source_embeds, guidance=Guidance(3.0, 1.0))
    found = edited(instaflow, samples, negative, "flow_align", of_inversion={"weight": weight})
    assert instaflow.evaluations.forward[0] == 3 * STEPS
    close(found, flow_align(*velocities(instaflow, negative, source=1.0), batch.latents, weight))


def test_flow_align_without_its_weight_is_flowedit(instaflow, samples, batch):
    found = edited(instaflow, samples, batch, "flow_align", of_inversion={"weight": 0.0})
    close(found, edited(instaflow, samples, batch, "flowedit", of_inversion={"n_max": STEPS}))


def dnaedit(v_source, v_target, z0, skip, mvg):
    """DNAEdit's two loops."""
    x, noise, stored = z0, Draws(z0)(), {}
    for level in range(1, STEPS - skip + 1):
        a, b = SIGMAS[level - 1], SIGMAS[level]
        on_line = x + (b - a) / (1 - a) * (noise - x)
        v = v_source(on_line, b)
        error = (on_line - x) / (b - a) - v
        stored[level] = (b - a) * error, v
        x, noise = on_line - (b - a) * error, noise - (1 - a) * error
    y, reference = x, z0
    for level in range(STEPS - skip, 0, -1):
        b, a = SIGMAS[level], SIGMAS[level - 1]
        offset, v = stored[level]
        found = v_target(y + offset, b)
        reference = reference + (a - b) * (found - v)
        y = y + (a - b) * (mvg * found + (1 - mvg) * (y - reference) / b)
    return y


@pytest.mark.parametrize(
    ("skip", "mvg"),
    [(1, 0.3), *(pytest.param(*others, marks=pytest.mark.slow) for others in ((0, 0.8), (2, 1.0)))],
)
def test_dnaedit(instaflow, samples, batch, skip, mvg):
    found = edited(instaflow, samples, batch, "dnaedit", "dnaedit", {"skip": skip}, mvg=mvg)
    assert instaflow.evaluations.forward[0] == 4 * (STEPS - skip)
    close(found, dnaedit(*velocities(instaflow, batch), batch.latents, skip, mvg), atol=1e-4)


def moved_reference(v_source, v_target, draws, mvg):
    """DNAEdit's guidance where the model is evaluated at several draws, whose mean is followed.

    The source is the picture, noised to each level by the first draw.
    """
    z0 = draws[0][0]
    x, reference = draws[-1][0], z0
    for level in range(STEPS, 0, -1):
        b, a = SIGMAS[level], SIGMAS[level - 1]
        added = [at - draws[level][0] for at in draws[level]]
        targets = torch.stack([v_target(x + more, b) for more in added]).mean(0)
        sources = torch.stack([v_source(at, b) for at in draws[level]]).mean(0)
        reference = reference + (a - b) * (targets - sources)
        followed = mvg * targets + (1 - mvg) * (x - reference) / b
        x = x + (a - b) * (followed - sources) + draws[level - 1][0] - draws[level][0]
    return x


def test_dnaedits_reference_moves_by_the_mean_of_several_draws(instaflow, samples, batch):
    draw, image = Draws(batch.latents), batch.latents
    draws = [
        [(1 - sigma) * image + sigma * draw() for _ in range(2)] if sigma else [image, image]
        for sigma in reversed(SIGMAS)
    ][::-1]
    found = edited(instaflow, samples, batch, "flowedit", "dnaedit", {"n_max": STEPS, "n_avg": 2}, mvg=0.6)
    close(found, moved_reference(*velocities(instaflow, batch), draws, 0.6), atol=1e-4)


def test_dnaedits_reference_moves_once_in_a_step_of_two_evaluations(instaflow, samples, batch):
    inverted = INVERSIONS.get("rf_solver").invert(
        instaflow, batch, SCHEDULE, INVERSIONS.get("rf_solver").settings()
    )
    _, v_target = velocities(instaflow, batch)
    x, reference, mvg = inverted.trajectory[-1], batch.latents, 0.6
    for level in range(STEPS, 0, -1):
        b, a = SIGMAS[level], SIGMAS[level - 1]
        at, sigma = x, b
        for share in (0.5, 1):
            v = v_target(at, sigma)
            source = inverted.trajectory[level - 1] - inverted.trajectory[level]
            moved = reference + (a - b) * v - source
            followed = mvg * v + (1 - mvg) * (at - moved) / sigma
            at, sigma = x + share * (a - b) * followed, (a + b) / 2
        x, reference = at, moved
    close(edited(instaflow, samples, batch, "rf_solver", "dnaedit", mvg=mvg), x, atol=1e-4)


def test_dnaedit_takes_its_source_back_exactly(instaflow, samples, batch):
    same = dataclasses.replace(batch, target_embeds=batch.source_embeds, guidance=Guidance(2.0))
    close(edited(instaflow, samples, same, "dnaedit"), batch.latents, atol=1e-4)


def test_dnaedit_refuses_to_skip_every_step(instaflow, samples, batch):
    with pytest.raises(PiebenchError, match="skip=4: leaves none of 4 steps"):
        edited(instaflow, samples, batch, "dnaedit", of_inversion={"skip": 4})


def rf_inversion(v, z0, gamma, steps, descending):
    """The controlled forward equation, by the schedule's own levels or as in the published code."""
    y, noise = z0, Draws(z0)()
    for index in range(steps):
        a, b = SIGMAS[index], SIGMAS[index + 1]
        time, size = a, b - a
        if descending:
            time, size = index / (steps + 1), SIGMAS[steps - index] - SIGMAS[steps - index - 1]
        u = v(y, time)
        y = y + size * (u + gamma * ((noise - y) / (1 - time) - u))
    return y


def pulled(v, y, image, eta, start, stop, steps, draw=None):
    """The controlled reverse equation; the stochastic one where noise is drawn for each step."""
    x = y
    for index, level in enumerate(range(steps, 0, -1)):
        sigma, way = SIGMAS[level], SIGMAS[level - 1] - SIGMAS[level]
        to_image = -v(x, sigma)
        if start <= index < stop:
            to_image = to_image + eta * ((image - x) / sigma - to_image)
        noise = draw() if draw else None  # the first step's is not used
        if noise is None or index == 0:
            x = x - way * to_image
        else:
            drift = 2 * to_image - x / (1 - sigma)
            x = x - way * drift + (2 * sigma / (1 - sigma) * -way) ** 0.5 * noise
    return x


@pytest.mark.parametrize(
    ("order", "strength", "steps"),
    [
        ("ascending", 1.0, 4),
        ("descending", 0.75, 3),
        pytest.param("ascending", 0.75, 3, marks=pytest.mark.slow),
        pytest.param("descending", 1.0, 4, marks=pytest.mark.slow),
    ],
)
def test_rf_inversion(instaflow, samples, batch, order, strength, steps):
    settings = {"gamma": 0.4, "step_order": order, "strength": strength}
    found = edited(
        instaflow, samples, batch, "rf_inversion", "rf_inversion", settings, eta=0.7, start=0.25, stop=0.8
    )
    # One row upwards, and two of the guided target downwards: no row of the source.
    assert instaflow.evaluations.forward[0] == 3 * steps
    unguided, target = velocities(instaflow, batch, source=1.0)
    y = rf_inversion(unguided, batch.latents, 0.4, steps, order == "descending")
    close(found, pulled(target, y, batch.latents, 0.7, 1, 3, steps), atol=1e-4)


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 4), (0.75, 3)])
def test_rf_inversions_stochastic_equation(instaflow, samples, batch, strength, steps):
    """Each sample has the noise of the seed; what it leads from is that of the flow's own sampler."""
    settings = {"gamma": 0.4, "strength": strength, "sampler": "sde"}
    found = edited(instaflow, samples, batch, "rf_inversion", "rf_inversion", settings, eta=0.7, stop=0.8)
    assert instaflow.evaluations.forward[0] == 3 * steps
    unguided, target = velocities(instaflow, batch, source=1.0)
    y, draws = rf_inversion(unguided, batch.latents, 0.4, steps, descending=False), Draws(batch.latents)
    draws()
    close(found, pulled(target, y, batch.latents, 0.7, 0, 3, steps, draws), atol=1e-4)


def test_rf_inversions_samplers_share_the_inversion(instaflow, batch, monkeypatch):
    monkeypatch.setattr(instaflow, "cache", Cache({}))
    entry = INVERSIONS.get("rf_inversion")
    flow, stochastic = (
        entry.invert(instaflow, batch, SCHEDULE, entry.settings(sampler=way)) for way in ("ode", "sde")
    )
    assert stochastic.trajectory.equal(flow.trajectory) and flow.offsets is None
    assert instaflow.evaluations.reused[0] == STEPS and not stochastic.offsets[-1].any()


def test_the_pull_decays(instaflow, samples, batch):
    strong, decaying = (
        edited(instaflow, samples, batch, "rf_inversion", "rf_inversion", stop=1.0, decay_power=power)
        for power in (0.0, 2.0)
    )
    near, far = ((latents - batch.latents).square().mean() for latents in (strong, decaying))
    assert near < far


def test_the_pull_decays_over_the_steps_that_are_counted(instaflow, samples, batch):
    """Of four steps, of which the first two are skipped, all four count if skipped ones do."""
    entry, method = INVERSIONS.get("rf_inversion"), METHODS.get("rf_inversion")
    inverted = entry.invert(instaflow, batch, SCHEDULE, entry.settings(strength=0.5))
    settings = method.settings(stop=1.0, decay_power=0.5)
    controller = method.prepare(samples[:2], instaflow, STEPS, settings).controller
    found = edit(instaflow, batch, inverted, controller, SCHEDULE, first_step=2)
    _, v = velocities(instaflow, batch)
    x = inverted.trajectory[-1]
    for step, level in ((2, 2), (3, 1)):
        eta, sigma, velocity_ = 0.9 * (1 - step / 4) ** 0.5, SIGMAS[level], v(x, SIGMAS[level])
        velocity_ = velocity_ + eta * ((x - batch.latents) / sigma - velocity_)
        x = x + (SIGMAS[level - 1] - sigma) * velocity_
    close(found, x, atol=1e-4)


@pytest.mark.parametrize("inversion", ["rf_inversion", "rf_solver", "fireflow"])
def test_the_whole_pull_to_the_end_is_the_picture(instaflow, samples, batch, inversion):
    """By solvers too that evaluate the model between two levels."""
    found = edited(instaflow, samples, batch, inversion, "rf_inversion", eta=1.0, stop=1.0)
    close(found, batch.latents, atol=1e-4)


def test_the_whole_control_ends_at_the_noise(instaflow, batch):
    entry = INVERSIONS.get("rf_inversion")
    inverted = entry.invert(instaflow, batch, SCHEDULE, entry.settings(gamma=1.0))
    close(inverted.trajectory[-1], Draws(batch.latents)().expand_as(batch.latents), atol=1e-4)


def test_the_pull_stops_after_it_starts():
    with pytest.raises(ValueError, match="is before start"):
        METHODS.get("rf_inversion").settings(start=0.5, stop=0.2)


def test_noise_of_packed_latents_is_drawn_in_their_order(batch):
    """The same numbers in other places, drawn as diffusers' pipelines for FLUX.1 draw them."""
    found = drawn_noise(dataclasses.replace(batch, packing=2), 2)
    channels, height, width = batch.latents.shape[1:]
    generator = torch.Generator().manual_seed(batch.seed)
    for noise in found:
        tokens = torch.randn(1, height * width // 4, 4 * channels, generator=generator)
        assert torch.equal(packed(noise[:1], 2), tokens) and torch.equal(noise[0], noise[-1])
    assert not torch.equal(found, drawn_noise(batch, 2))


def test_noise_may_be_drawn_on_the_devices_generator(instaflow, batch):
    """On a CPU that is the same one; tests/cuda has a GPU's."""
    on_device = dataclasses.replace(batch, noise_on_device=True)
    assert torch.equal(drawn_noise(batch, 2), drawn_noise(on_device, 2))
    assert batch.drawing != on_device.drawing
    with pytest.MonkeyPatch.context() as patch:
        devices = []
        generator = torch.Generator
        patch.setattr(torch, "Generator", lambda device: devices.append(str(device)) or generator())
        fake = dataclasses.replace(on_device, latents=batch.latents.to("meta"))
        assert drawn_noise(fake, 1).is_meta
        drawn_noise(batch, 1)
    assert devices == ["meta", "meta", "cpu", "cpu"]

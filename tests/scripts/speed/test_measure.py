"""That the bench's random model tells methods apart by far more than the tolerance of their latents."""

import itertools
from dataclasses import replace

import pytest

from piebench_eval.models.loading import load_model
from piebench_eval.runs.batch_editing import edit_latents
from scripts.speed.measure import TOLERANCE, beside_plain, measure, plain_unet, time_ends
from scripts.speed.models import SIZES, save_model
from scripts.speed.samples import save_samples
from tests.support.recipes import shipped

SIDE = 128


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("model"), SIZES["tiny"]))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return save_samples(tmp_path_factory.mktemp("pictures"), 2, SIDE)


@pytest.fixture(scope="module")
def recipe():
    return shipped("table1", {"model": "x", "steps": 10, "resolution": SIDE})


@pytest.mark.slow
def test_methods_differ_by_more_than_the_tolerance(model, samples, recipe):
    diffusion_model = load_model(model)
    edits = [
        edit_latents(diffusion_model, samples[:1], recipe.combination("direct", method))[0]
        for method in ("p2p", "masactrl", "pnp")
    ]
    for one, other in itertools.combinations(edits, 2):
        assert (one - other).abs().max() > 5 * TOLERANCE[0]


@pytest.mark.slow
def test_the_last_picture_of_the_largest_batch_is_held_against_the_plain_one(model, samples, recipe):
    diffusion_model = load_model(model)
    combination = recipe.combination("direct", "p2p")
    measured, edited = measure(diffusion_model, samples, combination, [2, 1], warm_up=True)
    assert edited.sample is samples[1]
    unet = plain_unet(model, diffusion_model.device)
    found = beside_plain(measured, edited, diffusion_model, unet, combination, warm_up=True)
    assert found.is_near and found.plain.forward == 130
    mixed_up = replace(edited, latents=edited.latents.flip(-1))
    assert not beside_plain(measured, mixed_up, diffusion_model, unet, combination).is_near


def test_encoding_and_decoding_are_timed_without_the_unet(model, samples, recipe):
    diffusion_model = load_model(model)
    found = time_ends(diffusion_model, samples, recipe.combination("direct", "p2p"), [1, 2])
    assert list(found) == [1, 2] and all(seconds > 0 for seconds in found.values())
    assert diffusion_model.evaluations.forward.total() == 0

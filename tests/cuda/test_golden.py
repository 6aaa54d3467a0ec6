"""float32 on a GPU is float32: recordings that were made on a CPU are met, within their own tolerances."""

import numpy as np
import pytest

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from scripts.speed.measure import NULL_TEXT_TOLERANCE, TOLERANCE
from tests.golden import record_own, recordings
from tests.support.recipes import shipped

pytestmark = pytest.mark.cuda

CASE = "case1_cake"


@pytest.fixture(scope="module")
def tiny(device, tiny_model):
    return load_model(str(tiny_model), device=device)


@pytest.fixture(scope="module")
def reference(device, golden):
    model = load_model(str(golden / "tiny-sd"), device=device)
    model.cache = Cache({})
    return model


def check(found, expected, tolerance, record_property, what="latents"):
    off = np.abs(found.cpu().numpy() - expected)
    record_property(f"{what} off, max", f"{off.max():.1e}")
    record_property("rms", f"{np.sqrt((off**2).mean()):.1e}")
    largest, rms = tolerance
    assert off.max() <= largest
    assert np.sqrt((off**2).mean()) <= rms


@pytest.mark.parametrize("inversion", ["ddim", "direct"])
def test_our_own_recordings(tiny, photo_bench, inversion, record_property):
    recording, samples = np.load(record_own.FILE), load_pie_bench(photo_bench)
    inputs = encode_inputs(tiny, samples, record_own.RESOLUTION)
    schedule = ddim_schedule(tiny.alphas_cumprod, record_own.STEPS)
    entry = INVERSIONS.get(inversion)
    inverted = entry.invert(tiny, inputs, schedule, entry.settings())
    controller = METHODS.get("p2p").prepare(samples, tiny, record_own.STEPS, record_own.SETTINGS).controller
    edited = edit(tiny, inputs, inverted, controller, schedule)
    trajectory = (recordings.TRAJECTORY_TOLERANCE,) * 2
    for what, found, tolerance in (
        ("z0", inputs.latents, trajectory),
        ("xT", inverted.trajectory[-1], trajectory),
        (f"{inversion}+p2p", edited, TOLERANCE),
    ):
        expected = np.concatenate([recording[f"{sample.id}/{what}"] for sample in samples])
        check(found, expected, tolerance, record_property, what)


@pytest.mark.parametrize("pair", ["+".join(pair) for pair in shipped("paper").pairs])
def test_the_references_recordings(golden, reference, pair, record_property):
    inversion, method = pair.split("+")
    paper = shipped("paper", {"model": str(golden / "tiny-sd"), "steps": recordings.STEPS})
    name = f"{recordings.INVERSION_NAMES[inversion]}+{recordings.METHOD_NAMES.get(method, method)}"
    recording = np.load(golden / "npz" / f"{name}__{CASE}.npz")
    sample = recordings.load_case(golden, CASE)
    final, _ = edit_latents(reference, [sample], paper.combination(inversion, method))
    tolerance = NULL_TEXT_TOLERANCE if inversion == "null_text" else TOLERANCE
    check(final, recording["final_latent"], tolerance, record_property)


def test_decoded_pictures(tiny, tiny_model, photo_bench):
    """The same latents on both devices: at most one grey level apart, as the recordings allow."""
    on_cpu = load_model(str(tiny_model))
    latents = encode_inputs(on_cpu, load_pie_bench(photo_bench), record_own.RESOLUTION).latents
    apart = np.abs(tiny.decode_latents(latents.to(tiny.device)).astype(int) - on_cpu.decode_latents(latents))
    assert (apart <= recordings.GREY_LEVELS).mean() >= recordings.SHARE_OF_VALUES

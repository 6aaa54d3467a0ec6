"""The golden set that everybody has, see ``record_own.py``: a check against drift from version to version."""

import numpy as np
import pytest

from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.runs.batch_editing import encode_inputs
from tests.golden.record_own import FILE, RESOLUTION, SETTINGS, STEPS, recorded_model


@pytest.fixture(scope="module")
def recording():
    return np.load(FILE)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return recorded_model(tmp_path_factory.mktemp("models") / "recorded")


@pytest.mark.parametrize("inversion", ["ddim", "direct"])
def test_latents(model, samples, recording, inversion):
    inputs = encode_inputs(model, samples, RESOLUTION)
    schedule = ddim_schedule(model.alphas_cumprod, STEPS)
    entry = INVERSIONS.get(inversion)
    inverted = entry.invert(model, inputs, schedule, entry.settings())
    controller = METHODS.get("p2p").prepare(samples, model, STEPS, SETTINGS).controller
    edited = edit(model, inputs, inverted, controller, schedule)
    for place, sample in enumerate(samples):
        np.testing.assert_allclose(inputs.latents[place], recording[f"{sample.id}/z0"][0], atol=5e-5)
        np.testing.assert_allclose(inverted.trajectory[-1][place], recording[f"{sample.id}/xT"][0], atol=5e-5)
        np.testing.assert_allclose(
            edited[place], recording[f"{sample.id}/{inversion}+p2p"][0], atol=5e-4, rtol=0
        )


def test_the_cases_differ(recording, samples):
    """A set in which nothing happens would check nothing."""
    for sample in samples:
        ddim, direct = (recording[f"{sample.id}/{inversion}+p2p"] for inversion in ("ddim", "direct"))
        assert np.abs(ddim - direct).max() > 0.1
        assert np.abs(direct - recording[f"{sample.id}/z0"]).max() > 0.1

"""Two samples and a short schedule, for every inversion."""

import pytest

from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.runs.batch_editing import encode_inputs

STEPS = 5


@pytest.fixture(scope="module")
def schedule(model):
    return ddim_schedule(model.alphas_cumprod, STEPS)


@pytest.fixture(scope="module")
def inputs(model, samples):
    return encode_inputs(model, samples[:2], 128)

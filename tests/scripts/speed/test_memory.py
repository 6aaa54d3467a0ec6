import sys

import pytest
import torch

from piebench_eval.recipes import recipe_file
from piebench_eval.runs.recipe import build_recipe, read_recipe_fields
from scripts.speed.memory import PeakMemory, calculate_memory
from scripts.speed.models import SIZES
from scripts.speed.samples import save_samples


@pytest.fixture
def combination():
    file = recipe_file("table1")
    return build_recipe(read_recipe_fields(file), {"model": "sd1"}, str(file)).combination("direct", "p2p")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a process's peak by parts")
def test_the_peak_is_what_was_taken_and_given_back():
    megabytes = 200
    with PeakMemory(torch.device("cpu")) as peak:
        torch.ones(megabytes * 2**18)
    taken = peak.taken / 2**20  # the kernel's own count is a little behind
    assert 0.98 * megabytes < taken < 1.2 * megabytes


def test_a_batch_of_eight_on_stable_diffusion_in_half_precision(tmp_path, combination):
    samples = save_samples(tmp_path, 8, 64)
    found = calculate_memory(SIZES["sd1"], combination, samples, torch.float16, 512)
    # 859.5 million weights of the UNet in float16, and 83.7 million of the autoencoder in float32
    assert found.weights == pytest.approx(859.5e6 * 2 + 83.7e6 * 4, rel=1e-3)
    one_map_of_every_row = 24 * 8 * 4096 * 4096 * 2
    assert found.step < one_map_of_every_row
    assert found.total < 40e9


def test_a_step_takes_memory_by_its_rows(tmp_path, combination):
    samples = save_samples(tmp_path, 8, 64)
    steps = [
        calculate_memory(SIZES["tiny"], combination, samples[:number], torch.float32, 512).step
        for number in (4, 8)
    ]
    assert steps[1] == pytest.approx(2 * steps[0], rel=0.01)

import sys

import pytest
import torch

from scripts.speed.memory import PeakMemory, _most_alive, calculate_memory, largest_step
from scripts.speed.models import SIZES
from scripts.speed.samples import save_samples
from tests.support.recipes import shipped


@pytest.fixture
def combination():
    return shipped("table1").combination("direct", "p2p")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a process's peak by parts")
def test_the_peak_is_what_was_taken_and_given_back():
    megabytes = 200
    with PeakMemory(torch.device("cpu")) as peak:
        torch.ones(megabytes * 2**18)
    taken = peak.taken / 2**20  # the kernel's own count is a little behind
    assert 0.98 * megabytes < taken < 1.2 * megabytes
    assert peak.most > peak.taken


def test_a_batch_of_eight_on_stable_diffusion_in_half_precision(tmp_path, combination):
    samples = save_samples(tmp_path, 8, 64)
    found = calculate_memory(SIZES["sd1"], combination, samples, torch.float16, 512)
    # Millions: UNet and text encoder in float16, autoencoder in float32.
    assert found.weights == pytest.approx((859.5e6 + 123.1e6) * 2 + 83.7e6 * 4, rel=1e-3)
    one_map_of_every_row = 24 * 8 * 4096 * 4096 * 2
    assert found.step < one_map_of_every_row
    assert found.total < 40e9
    assert found.update == 0


def test_a_picture_of_stable_diffusion_xl_in_half_precision(tmp_path):
    samples = save_samples(tmp_path, 1, 64)
    combination = shipped("table1", {"family": "sdxl"}).combination("direct", "p2p")
    found = calculate_memory(SIZES["sdxl"], combination, samples, torch.bfloat16, 1024)
    encoders = (123_060_480 + 694_659_840) * 2
    assert (found.weights, found.text_encoders) == (2_567_463_684 * 2 + encoders + 83_653_863 * 4, encoders)
    assert found.total - found.offloaded == encoders
    one_map_of_three_rows = 3 * 10 * 4096 * 4096 * 2
    assert 0 < found.step < one_map_of_three_rows
    assert 10e9 < found.total < 11e9


def test_a_step_takes_memory_by_its_rows(tmp_path, combination):
    samples = save_samples(tmp_path, 8, 64)
    steps = [
        calculate_memory(SIZES["tiny"], combination, samples[:number], torch.float32, 512).step
        for number in (4, 8)
    ]
    assert steps[1] == pytest.approx(2 * steps[0], rel=0.01)


def test_tensors_count_as_long_as_anything_holds_them():
    layer = torch.nn.Linear(1000, 1000, bias=False, device="meta")

    def work():
        one = layer(torch.empty(500, 1000, device="meta"))  # 2 MB, and 2 MB made of it
        other = one[:, :10].t()  # a view
        del one
        kept = torch.empty(1000, 1000, device="meta")  # 4 MB beside the view's 2; the input is gone
        del other, kept
        torch.empty(1000, 1000, device="meta")

    assert _most_alive(work, [layer]) == 6_000_000


def test_null_text_keeps_what_it_differentiates(tmp_path):
    samples = save_samples(tmp_path, 8, 64)
    combination = shipped("table1").combination("null_text", "p2p")
    found = calculate_memory(SIZES["tiny"], combination, samples, torch.float32, 512)
    # 8 rows that are differentiated hold more than the 24 of a step, which are not.
    assert found.update > 2 * found.step


@pytest.mark.parametrize(
    ("pair", "step", "rows"),
    [
        ("direct+p2p", 0, 3),
        ("ddim+p2p", 0, 4),
        ("null_text+p2p", 0, 3),
        ("edit_friendly+p2p", 0, 3),
        ("direct+masactrl", 4, 3),
        ("direct+pnp", 0, 3),
        ("ddim+pnp", 0, 3),
    ],
)
def test_the_largest_step_is_one_in_which_the_method_acts(tmp_path, pair, step, rows):
    samples = save_samples(tmp_path, 2, 64)
    index, batch = largest_step(shipped("table1", {"steps": 10}).combination(*pair.split("+")), samples)
    assert (index, len(batch.owners)) == (step, rows * len(samples))

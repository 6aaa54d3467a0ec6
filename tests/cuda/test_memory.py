"""Running out of a GPU's memory, by allocations that are really made and refused."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.model_runner import ModelRunner
from piebench_eval.runs.store.folder import RunStore
from tests.golden.recordings import GREY_LEVELS
from tests.support.runs import run

pytestmark = pytest.mark.cuda

MEGABYTE = 2**20
BALLAST = 512 * MEGABYTE


@contextmanager
def memory_of(device, bytes_more):
    """Let this process have so much memory of a GPU more than it uses now, and no more."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    allowed = torch.cuda.memory_reserved(device) + bytes_more
    if torch.cuda.mem_get_info(device)[0] < bytes_more:
        pytest.skip(f"less than {bytes_more / 1e9:.1f} GB of the card are free")
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()


class HeavyRunner(ModelRunner):
    """Takes half a gigabyte more for every sample of a batch, one after another, and holds it meanwhile."""

    def edit(self, combination, samples):
        held = [torch.empty(BALLAST, dtype=torch.uint8, device=self.device) for _ in samples]
        edits = super().edit(combination, samples)
        del held
        return edits


def heavy_runner(spec, recipe):
    return HeavyRunner(spec, recipe)


@pytest.fixture(scope="module")
def recipe(tiny_model):
    fields = {"model": str(tiny_model), "inversions": ["direct"], "methods": ["p2p"], "steps": 4}
    return build_recipe(fields, {}, "test")


def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    card, recipe, photo_bench, samples, tmp_path, record_property
):
    """Four need 2 GB and do not fit into 1.75; two do, once what the four had taken has been given back."""
    with memory_of(card, int(3.5 * BALLAST)):
        summary = run(
            recipe, photo_bench, tmp_path, devices=str(card), batch_size=4, make_runner=heavy_runner
        )
    assert (summary.made, summary.failed) == (4, {})
    done = RunStore.read(tmp_path).scan(samples).done
    batches = sorted(record["batch_size"] for record in done.values())
    record_property("batches", batches)
    assert batches == [2, 2, 2, 2]


def test_a_picture_that_fits_by_itself_alone_is_made(card, recipe, photo_bench, samples, tmp_path):
    with memory_of(card, int(1.75 * BALLAST)):
        summary = run(
            recipe, photo_bench, tmp_path, devices=str(card), batch_size=4, make_runner=heavy_runner
        )
    assert (summary.made, summary.failed) == (4, {})
    done = RunStore.read(tmp_path).scan(samples).done
    assert {record["batch_size"] for record in done.values()} == {1}


def test_decoding_makes_do_with_less(card, load, monkeypatch, record_property):
    """Four pictures together, and then with the memory for little more than one."""
    model = load()
    latents = torch.randn(4, 4, 64, 64, generator=torch.Generator().manual_seed(0)).to(card)
    whole = model.decode_latents(latents)

    def peak(part):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(card)
        before = torch.cuda.memory_reserved(card)
        model.decode_latents(part)
        return torch.cuda.max_memory_reserved(card) - before

    one, four = peak(latents[:1]), peak(latents)
    record_property("MB for one and for four", f"{one / 1e6:.0f}, {four / 1e6:.0f}")
    decode, asked = model.vae.decode, []
    monkeypatch.setattr(model.vae, "decode", lambda part: asked.append(len(part)) or decode(part))
    with memory_of(card, (one + four) // 2):
        found = model.decode_latents(latents)
    assert asked[0] == 4 and asked[-1] < 4, "it was not halved"
    assert np.abs(found.astype(int) - whole).max() <= GREY_LEVELS

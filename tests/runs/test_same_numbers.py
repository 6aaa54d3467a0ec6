"""The same pictures whoever edits them, with a real (small) model."""

from functools import partial

import pytest

from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.shard import Shard
from tests.support.runs import digests
from tests.support.runs import run as run_anyhow

pytestmark = pytest.mark.slow  # a killed run that is gone on with, and workers that stop, show the same

run = partial(run_anyhow, deterministic=True)


@pytest.fixture(scope="module")
def recipe(tiny_model):
    pairs = [("ddim", "p2p"), ("null_text", "p2p"), ("edit_friendly", "masactrl"), ("direct", "pnp")]
    fields = {
        "model": str(tiny_model),
        "steps": 4,
        "inversions": [inversion for inversion, _ in pairs],
        "methods": ["p2p", "masactrl", "pnp"],
        "combinations": {f"{inversion}+{method}": {} for inversion, method in pairs},
    }
    return build_recipe(fields, {"inversion.inner_steps": 2}, "test")


@pytest.fixture(scope="module")
def whole(recipe, photo_bench, tmp_path_factory):
    """What one process makes in one go, one sample at a time."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(recipe, photo_bench, folder)
    assert len(digests(folder)) == 16
    return digests(folder)


def test_by_processes_with_fewer_threads(recipe, photo_bench, whole, tmp_path):
    run(recipe, photo_bench, tmp_path / "run", workers=2)
    assert digests(tmp_path / "run") == whole


def test_by_shards_in_another_order_and_after_a_stop(recipe, photo_bench, whole, tmp_path):
    out = tmp_path / "run"
    run(recipe, photo_bench, out, Selection(limit=1))
    for index in (2, 0, 1):
        run(recipe, photo_bench, out, shard=Shard(index, 3))
    assert digests(out) == whole


def test_in_equal_batches_by_one_process_or_two(recipe, photo_bench, tmp_path):
    run(recipe, photo_bench, tmp_path / "one", batch_size=2)
    run(recipe, photo_bench, tmp_path / "two", batch_size=2, workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(digests(tmp_path / "one")) == 16

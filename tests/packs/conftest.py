"""A small scored run whose pictures a fake runner draws, and its pack."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.demo.benchmark import write_benchmark
from piebench_eval.packs.making import pack_run
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.runner import EditResult
from tests.support.fake_runner import FakeRunner
from tests.support.runs import run

METRICS = "psnr_unedit_part,mse_unedit_part,mse"


class BySeed(FakeRunner):
    """Its pictures depend on the recipe's seed too."""

    def draw(self, combination, sample, peak):
        seed = [len(combination.name), int(sample.id) % 97, combination.common.seed]
        image = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        return EditResult(sample, image, None, 0.1, 7, 2, 3, peak, [])


def by_seed(spec, recipe):
    return BySeed()


@contextmanager
def with_threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("bench") / "drawn", per_type=1)


@pytest.fixture(scope="session")
def made(fake_recipe, bench, tmp_path_factory):
    """A scored run of six edits."""
    folder = tmp_path_factory.mktemp("packs") / "run"
    run(fake_recipe, bench, folder, Selection(limit=3), make_runner=by_seed)
    done = CliRunner().invoke(app, ["score", str(folder), "--metrics", METRICS, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="session")
def pack(made, tmp_path_factory):
    return pack_run(made, tmp_path_factory.mktemp("pack") / "x.piebench.zip").file

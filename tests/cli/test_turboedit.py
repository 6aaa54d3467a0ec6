"""``--config turboedit`` from the command line, on a small model of Stable Diffusion XL's structure."""

import json
import re
import shlex

import pytest

from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.runs.store.folder import RunStore
from tests.support.commands import piebench
from tests.support.tiny_sdxl import save_tiny_sdxl

SIDE = 128
"""The small model's own resolution, in pixels; the recipe's is SDXL-Turbo's."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_sdxl(tmp_path_factory.mktemp("models") / "sdxl")


@pytest.fixture
def options(model, photo_bench, tmp_path):
    """The command on two samples; ``max_norm`` stays, and limits nothing on so few numbers."""
    return ("run", "--data", photo_bench, "--config", "turboedit", "--model", model, "--limit", 2,
            "--set", f"resolution={SIDE}", "--device", "cpu", "--out", tmp_path / "run")  # fmt: skip


def three_steps():
    """The options that the recipe's comment gives for three steps."""
    comment = recipe_file("turboedit").read_text(encoding="utf-8")
    command = re.search(r"turboedit-3 (--steps .+?)\n#\n", comment, re.DOTALL)[1]
    return shlex.split(re.sub(r"\\\n#", " ", command))


@pytest.mark.parametrize(("more", "rows"), [((), 12), (three_steps(), 9)], ids=["four steps", "three steps"])
def test_edits_take_the_rows_that_the_dry_run_tells(options, tmp_path, more, rows):
    dry = piebench(*options, *more, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    (part,) = json.loads(dry.stdout)["plan"]
    assert (part["combination"], part["missing"], part["rows_forward"]) == ("turboedit+plain", 2, rows)
    done = piebench(*options, *more)
    assert done.returncode == 0, done.stderr
    records = RunStore.read(tmp_path / "run").records()
    assert [record["unet_rows_forward"] for record in records.values()] == [rows] * 2
    assert len(list((tmp_path / "run" / "images").rglob("*.png"))) == 2


def test_steps_alone_are_refused_with_the_remedy(options):
    done = piebench(*options, "--steps", 3)
    assert done.returncode == 2
    assert "timesteps: are 4, but steps is 3; make them equal" in " ".join(done.stderr.split())

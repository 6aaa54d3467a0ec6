"""The examples run as they are; ``tests/recipes/test_plugins.py`` edits with the method of one's own."""

import json
import runpy
import subprocess
import sys

import pandas as pd
import torch

from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.recipes.plugins import load_plugins
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import encode_inputs
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.folder import RunStore
from tests.conftest import REPOSITORY
from tests.support.commands import piebench
from tests.support.runs import run

EXAMPLES = REPOSITORY / "examples"


def test_a_folder_is_scored(tmp_path, monkeypatch, capsys):
    assert piebench("data", "demo", "--per-type", 1, "--out", tmp_path / "bench").returncode == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["score_folder.py", "bench/ideal_images", "bench", "--networks", "demo"])
    capsys.readouterr()
    # In this process: another would import PyTorch and read the networks' libraries anew.
    runpy.run_path(str(EXAMPLES / "score_folder.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "mine.csv")) == 10
    assert "sem" in printed and "1 change object" in printed and "mine.csv" in printed


def test_a_notebook_edits_one_image_with_four_combinations():
    cells = json.loads((EXAMPLES / "four_combinations.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "steps = 20\n" in code[1]
    code[1] = code[1].replace("steps = 20\n", "steps = 4\n")  # as fast as a test should be
    made = {}
    for cell in code:
        exec(cell, made)
    edits = made["edits"]
    made["folder"].cleanup()
    assert len({edit.tobytes() for edit in edits.values()}) == len(edits) == 4
    width, height = edits["direct + p2p"].size
    assert made["side_by_side"].size == (5 * width, height)
    assert not any(cell.get("outputs") for cell in cells)


FIXED_POINT = EXAMPLES / "fixed_point.py"


def test_an_inversion_of_one_s_own_edits_at_the_cost_that_is_forecast(
    tiny_model, photo_bench, samples, tmp_path
):
    assert sum(bool(line.strip()) for line in FIXED_POINT.read_text(encoding="utf-8").splitlines()) <= 30
    fields = {"model": str(tiny_model), "inversions": ["fixed_point"], "methods": ["p2p", "pnp"]}
    recipe = build_recipe({**fields, "steps": 2, "plugins": [str(FIXED_POINT)]}, {}, "test")
    assert run(recipe, photo_bench, tmp_path, Selection(limit=1)).made == 2
    costs = count_evaluations(recipe, samples[:1])
    for key, record in RunStore.read(tmp_path).records().items():
        assert record["unet_rows_forward"] == costs[key].forward
        assert record["unet_rows_reused"] == costs[key].reused


def test_with_one_iteration_it_is_ddim_s_and_with_more_its_own(model, samples):
    load_plugins([str(FIXED_POINT)])
    inputs, schedule = encode_inputs(model, samples[:2], 128), ddim_schedule(model.alphas_cumprod, 2)
    ddim, own = INVERSIONS.get("ddim"), INVERSIONS.get("fixed_point")
    expected = ddim.invert(model, inputs, schedule, ddim.settings()).trajectory
    once, twice = (
        own.invert(model, inputs, schedule, own.settings(iterations=count)).trajectory for count in (1, 2)
    )
    assert torch.equal(once, expected) and not torch.equal(twice, expected)


def test_plugins_need_torch_only_when_they_run():
    names = [str(EXAMPLES / name) for name in ("fixed_point.py", "shared_attention.py")]
    code = (
        "import sys\nfrom piebench_eval.recipes.plugins import load_plugins\n"
        f"load_plugins({names!r})\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_every_example_is_listed():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({file.name})" in listed for file in EXAMPLES.iterdir() if file.suffix in (".py", ".ipynb"))

"""The examples run as they stand; ``tests/recipes/test_plugins.py`` edits with the method of one's own."""

import json
import subprocess
import sys

import pandas as pd

from tests.conftest import REPOSITORY
from tests.support.commands import piebench

EXAMPLES = REPOSITORY / "examples"


def test_a_folder_is_scored(tmp_path):
    assert piebench("data", "demo", "--per-type", 1, "--out", tmp_path / "bench").returncode == 0
    command = [sys.executable, str(EXAMPLES / "score_folder.py"), "bench/ideal_images", "bench"]
    command += ["--networks", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "mine.csv")) == 10
    assert "sem" in done.stdout and "1 change object" in done.stdout and "mine.csv" in done.stdout


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


def test_every_example_is_listed():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({file.name})" in listed for file in EXAMPLES.iterdir() if file.suffix in (".py", ".ipynb"))

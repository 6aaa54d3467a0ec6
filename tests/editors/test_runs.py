"""One's own function as an editor, from run to table."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from PIL import ImageOps

import piebench_eval as pb
from piebench_eval.editors import EDITORS
from piebench_eval.runs.shard import parse_shard
from piebench_eval.runs.store.folder import RunStore
from tests.support.commands import piebench
from tests.support.fake_runner import fake_runner
from tests.support.runs import digests, run

CALLS = []
KILLED = set()
"""After how many calls the process is killed; set in the process that is to be."""

SHORT = {"run": {"limit": 1, "progress": False, "devices": "cpu"}, "score": {"progress": False}, "table": {}}
"""What makes the calls of the README quick."""


def mirrored(image, sample):
    """Mirror the picture."""
    if len(CALLS) in KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    CALLS.append(sample.id)
    if sample.id.startswith("9"):
        return image.crop((0, 0, 8, 8))
    return ImageOps.mirror(image)


@pytest.fixture(autouse=True)
def functions_of_one_test(monkeypatch):
    """Functions are registered in this process; other tests list what the package has."""
    monkeypatch.setattr(EDITORS, "_plugins", dict(EDITORS._plugins))


@pytest.fixture
def arguments(photo_bench):
    CALLS.clear()
    return {"data": photo_bench, "devices": "cpu", "progress": False, "editor": mirrored}


def test_a_function_is_an_editor(arguments, tmp_path):
    with pytest.warns(pb.PiebenchWarning, match="8x8"):
        edits = pb.run(tmp_path / "run", **arguments)
    assert edits["method"].tolist() == ["mirrored"] * 4 and edits["inversion"].tolist() == [""] * 4
    failed = edits[edits["error"] != ""]
    assert len(failed) == 1 and "an editor returns it in the same size" in failed["error"].item()
    assert len(list((tmp_path / "run/images/mirrored").rglob("*.png"))) == 3
    store = RunStore.read(tmp_path / "run")
    assert store.recipe.model == "none" and store.recipe.editors == {"mirrored": {}}
    declared = {"prompted_by": "not declared", "masks": "not declared"}
    assert store.manifest()["editors"] == {"mirrored": declared}
    CALLS.clear()
    pb.run(tmp_path / "run", **arguments)
    assert CALLS == []  # everything is there, failures included
    status = piebench("status", tmp_path / "run", "--json")
    assert [part["combination"] for part in json.loads(status.stdout)["parts"]] == ["mirrored"]


def test_a_changed_function_is_another_run(arguments, tmp_path):
    pb.run(tmp_path / "run", **{**arguments, "limit": 1})

    def mirrored(image, sample):
        return image

    with pytest.raises(pb.PiebenchError, match="changed"):
        pb.run(tmp_path / "run", **{**arguments, "editor": mirrored})


@pytest.mark.parametrize(
    ("changed", "problem"),
    [({"workers": 2}, "plugin file"), ({"editor": lambda image, sample: image}, "has no name")],
)
def test_what_a_function_cannot_do(arguments, tmp_path, changed, problem):
    with pytest.raises(pb.PiebenchError, match=problem):
        pb.run(tmp_path / "run", **{**arguments, **changed})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process is a fork of this one")
def test_a_function_that_is_killed_goes_on(arguments, tmp_path):
    if (child := os.fork()) == 0:
        try:
            KILLED.add(2)
            pb.run(tmp_path / "run", **arguments)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(digests(tmp_path / "run")) == 2
    with pytest.warns(pb.PiebenchWarning, match="8x8"):
        edits = pb.run(tmp_path / "run", **arguments)
    assert len(edits) == 4 and len(CALLS) == 2


def test_shards_of_a_function_make_what_one_run_makes(arguments, tmp_path):
    with pytest.warns(pb.PiebenchWarning, match="8x8"):
        pb.run(tmp_path / "whole", **arguments)
        parts = [pb.run(tmp_path / "parts", **arguments, shard=shard) for shard in ("0/2", "1/2")]
    assert [len(part) for part in parts] == [2, 4]  # the rows of all that is there
    assert digests(tmp_path / "whole") == digests(tmp_path / "parts") and len(CALLS) == 8


def test_shards_make_what_one_run_makes(tmp_path, photo_bench):
    from piebench_eval.recipes.recipe import build_recipe

    recipe = build_recipe({"model": "a/b", "editors": ["sdedit"]}, {}, "test")
    for folder, shards in {"whole": ["0/1"], "parts": ["0/2", "1/2"]}.items():
        for shard in shards:
            made = parse_shard(shard)
            run(recipe, photo_bench, tmp_path / folder, shard=made, make_runner=fake_runner())
    assert digests(tmp_path / "whole") == digests(tmp_path / "parts") and digests(tmp_path / "whole")


def test_the_function_of_the_readme_runs(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = [part.partition("```")[0] for part in readme.split("```python\n") if "editor=" in part]
    assert len([line for line in block.splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    for call in ("run", "score", "table"):
        monkeypatch.setattr(pb, call, partial(getattr(pb, call), **SHORT[call]), raising=False)
    exec(block, {})
    assert "warm" in (tmp_path / "runs/warm/scores.csv").read_text()
    assert piebench("report", "runs/warm").returncode == 0
    page = (tmp_path / "runs/warm/report/index.html").read_text(encoding="utf-8")
    assert "warm: prompted by: not declared; masks used: not declared" in " ".join(page.split())

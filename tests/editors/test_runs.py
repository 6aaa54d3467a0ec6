"""Editors from run to table: one's own function, and SDEdit on the demo's model."""

import json
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
SHORT = {"run": {"limit": 1, "progress": False, "devices": "cpu"}, "score": {"progress": False}, "table": {}}
"""What makes the calls of the README quick."""


def mirrored(image, sample):
    """Mirror the picture."""
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


@pytest.fixture(scope="module")
def sdedit(tmp_path_factory):
    """A run of the command that the documentation shows, short."""
    out = tmp_path_factory.mktemp("sdedit") / "run"
    done = piebench(
        "run", "--editor", "sdedit", "--model", "demo", "--data", "demo", "--steps", 2, "--limit", 2,
        "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_an_editor_goes_to_table_and_report(sdedit):
    for command in ("score", "table", "report"):
        done = piebench(command, sdedit)
        assert done.returncode == 0, done.stderr
    table = json.loads(piebench("table", sdedit, "--format", "json").stdout)
    rows = {row["method"]: row for row in table["rows"]}
    assert rows["sdedit"]["prompted_by"] == "target prompt" and rows["sdedit"]["masks"] == "none"
    assert rows["oracle"]["prompted_by"] == ""


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

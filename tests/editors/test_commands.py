"""Editors through every command that makes or reads a run: a plugin's, and SDEdit on the demo's model."""

import json
import signal

import pytest

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.demo.benchmark import IDEAL_FOLDER
from piebench_eval.editors import EDITORS
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.report import contact_sheet
from piebench_eval.report.content import read_content
from piebench_eval.runs.store.folder import RunStore
from tests.conftest import REPOSITORY
from tests.support.commands import piebench
from tests.support.fake_runner import fake_runner
from tests.support.runs import digests, recorded_edits, run, start_piebench, wait_for_pictures

PLUGIN = """
import numpy as np
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.settings import Settings


class DimSettings(Settings):
    share: float = 0.5


def dim(loaded, pictures, samples, settings, common):
    return EditedPictures([np.uint8(picture * settings.share) for picture in pictures])


EDITORS = {
    "dim": Editor(
        title="Dim", paper="none", prompted_by="not declared", masks="none", settings=DimSettings, edit=dim,
        needs_model=False,
    )
}
"""
DEMO = ("--data", "demo", "--device", "cpu")


def succeeds(*arguments):
    done = piebench(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def rows_of(*arguments):
    """The rows that a command prints, by method."""
    table = json.loads(succeeds(*arguments, "--format", "json").stdout)
    return {row["method"]: row for row in table["rows"]}


@pytest.fixture(scope="module", autouse=True)
def plugins_of_this_file():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EDITORS, "_plugins", dict(EDITORS._plugins))
        yield


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "dim.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture(scope="module")
def folder(plugin, tmp_path_factory):
    """Two shards of a run, scored together. An editor without a model comes before one with the demo's."""
    out = tmp_path_factory.mktemp("runs") / "run"
    for shard in ("0/2", "1/2"):
        asked = ("--editor", "dim,sdedit", "--model", "demo", "--steps", 2, "--limit", 2, "--shard", shard)
        succeeds("run", "--plugin", plugin, *asked, *DEMO, "--out", out)
    succeeds("score", out)
    return out


def test_shards_of_editors_are_one_run_in_table_and_report(folder):
    parts = json.loads(succeeds("status", folder, "--json").stdout)["parts"]
    assert {part["combination"]: (part["done"], part["missing"]) for part in parts} == {
        "dim": (2, 0),
        "sdedit": (2, 0),
    }
    rows = rows_of("table", folder)
    assert [rows[name]["images"] for name in ("dim", "sdedit", "oracle")] == [2, 2, 2]
    assert rows["sdedit"]["prompted_by"] == "target prompt" and rows["sdedit"]["masks"] == "none"
    assert rows["dim"]["prompted_by"] == "not declared" and rows["oracle"]["prompted_by"] == ""
    succeeds("report", folder)
    shown = {each.name: each for each in read_content([folder]).combinations}
    assert [shown[name].is_edit for name in ("dim", "sdedit", "oracle", "source-copy")] == [1, 1, 0, 0]
    page = (folder / "report/index.html").read_text(encoding="utf-8")
    assert "prompted by: not declared (dim), target prompt (sdedit)" in page


def test_the_contact_sheet_has_a_column_for_each_editor(folder, monkeypatch):
    monkeypatch.setattr(contact_sheet, "contact_sheet", lambda titles, rows, *_: (titles, rows))
    data = folder / "benchmark"
    samples = load_pie_bench(data)[:1]
    titles, (row,) = contact_sheet.run_sheet(RunStore.read(folder), samples, data / IDEAL_FOLDER)
    assert titles == ["source", "dim", "sdedit", "ideal"] and all(row.pictures)


@pytest.fixture
def baseline(tmp_path):
    known = (REPOSITORY / "results/baselines/tolerances.yaml").read_text(encoding="utf-8")
    (tmp_path / "tolerances.yaml").write_text(f"{known}\nmse_everywhere: 0.1\n")
    return "--baseline", tmp_path / "base.csv"


def test_a_run_of_editors_is_a_baseline(folder, baseline):
    succeeds("check", folder, *baseline, "--update")
    kept = succeeds("check", folder, *baseline)
    assert "none has moved" in kept.stdout + kept.stderr
    scores = (folder / "scores.csv").read_bytes()
    (folder / "scores.csv").write_text(
        "\n".join(line for line in scores.decode().splitlines() if ",sdedit," not in line)
    )
    lost = piebench("check", folder, *baseline)
    (folder / "scores.csv").write_bytes(scores)
    assert lost.returncode == 1 and "sdedit: missing" in lost.stdout + lost.stderr


def test_an_editors_numbers_are_explained(folder):
    psnr = rows_of("table", folder)["dim"]["psnr"]
    asked = ("explain", folder, "--combination", "dim", "--claimed", f"psnr={psnr:.3f}", "--json")
    first = json.loads(succeeds(*asked).stdout)["findings"][0]
    assert first["deviations"] == [] and first["predicted"]["psnr"] == pytest.approx(psnr)


def test_a_sweep_over_an_editors_setting_goes_to_its_table(plugin, photo_bench, baseline, tmp_path):
    asked = ("--editor", "dim", "--limit", 1, "--sweep", "editor.share=0.25,1.0", "--device", "cpu")
    succeeds("run", "--plugin", plugin, *asked, "--data", photo_bench, "--out", tmp_path / "sweep")
    shown = succeeds("sweep", tmp_path / "sweep", "--metrics", "mse", "--format", "json")
    low, high = json.loads(shown.stdout)["rows"]
    assert (low["editor.share"], high["editor.share"], high["mse_everywhere"]) == (0.25, 1.0, 0)
    assert low["method"] == "dim" and low["mse_everywhere"] > 0
    succeeds("check", tmp_path / "sweep/share=0.25", *baseline, "--update")
    refused = piebench("check", tmp_path / "sweep/share=1.0", *baseline)
    assert refused.returncode == 2 and "dim.editor.share: 0.25 -> 1.0" in refused.stderr


def test_worker_processes_have_a_plugins_editor(plugin, photo_bench, tmp_path):
    fields = {"model": "none", "editors": ["dim"], "plugins": [str(plugin)]}
    recipe = build_recipe(fields, {}, "test")
    summary = run(recipe, photo_bench, tmp_path / "run", workers=2, make_runner=fake_runner())
    assert (summary.made, summary.failed) == (4, {})


@pytest.mark.slow
def test_a_killed_run_of_sdedit_ends_with_the_same_files(tmp_path):
    def asked(out):
        return (
            "run",
            "--editor",
            "sdedit",
            "--model",
            "demo",
            "--steps",
            10,
            "--limit",
            12,
            *DEMO,
            "--out",
            out,
        )

    killed = tmp_path / "killed"
    victim = start_piebench(*asked(killed))
    wait_for_pictures(killed, 3, victim)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=60)
    assert len(digests(killed)) < 12
    for out in (killed, tmp_path / "whole"):
        succeeds(*asked(out))
    assert digests(killed) == digests(tmp_path / "whole") and len(set(recorded_edits(killed))) == 12

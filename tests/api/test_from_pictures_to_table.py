"""Running, scoring and tabulating from Python: the same as by the command line, as pandas objects."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import piebench_eval as pb
from piebench_eval.data.images import load_image
from piebench_eval.metrics.columns import COLUMNS
from tests.support.commands import piebench
from tests.support.runs import digests


@pytest.fixture(scope="module")
def arguments(photo_bench, tiny_model):
    return {
        "data": photo_bench,
        "model": str(tiny_model),
        "inversion": "ddim,direct",
        "method": ["p2p"],
        "settings": {"steps": 2},
        "limit": 2,
        "devices": "cpu",
        "progress": False,
    }


@pytest.fixture(scope="module")
def done(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("api") / "run"
    return folder, pb.run(folder, **arguments)


@pytest.fixture(scope="module")
def scored(done, metric_networks):
    folder, _ = done
    networks = {role: getattr(metric_networks, role) for role in ("dino", "clip", "lpips_weights")}
    return pb.score(folder, device="cpu", progress=False, **networks)


def test_a_run_is_a_row_per_edit(done):
    folder, edits = done
    assert edits[["inversion", "method"]].to_numpy().tolist() == [["ddim", "p2p"], ["direct", "p2p"]] * 2
    assert (edits["error"] == "").all() and (edits["seconds"] > 0).all()
    assert all(Path(file).is_file() and Path(file).is_relative_to(folder) for file in edits["file"])
    assert (edits["unet_rows_forward"] > 0).all()


def test_a_run_is_the_command_line_s(done, arguments, tmp_path):
    folder, _ = done
    told = piebench(
        "run", "--data", arguments["data"], "--model", arguments["model"], "--inversion", "ddim,direct",
        "--method", "p2p", "--steps", 2, "--limit", 2, "--device", "cpu", "--out", tmp_path / "run",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert digests(tmp_path / "run") == digests(folder)
    assert (tmp_path / "run/recipe.yaml").read_text() == (folder / "recipe.yaml").read_text()


def test_a_run_goes_on(done, arguments):
    folder, edits = done
    pd.testing.assert_frame_equal(pb.run(folder, **arguments), edits)
    with pytest.raises(pb.PiebenchError, match="steps: 2 -> 3"):
        pb.run(folder, **{**arguments, "settings": {"steps": 3}})


def test_failures_are_rows_and_warnings(arguments, tmp_path):
    failing = {**arguments, "settings": {"steps": 2, "method.blend_downsampling": 3}, "inversion": "ddim"}
    with pytest.warns(pb.PiebenchWarning, match="blend_downsampling"):
        edits = pb.run(tmp_path / "run", **failing)
    assert (edits["file"] == "").all() and edits["error"].str.contains("blend_downsampling").all()


def test_progress_is_shown_unless_unwanted(arguments, tmp_path, capsys):
    pb.run(tmp_path / "quiet", **{**arguments, "limit": 1})
    assert "editing" not in capsys.readouterr().err
    pb.run(tmp_path / "shown", **{**arguments, "limit": 1, "progress": True})
    assert "editing" in capsys.readouterr().err


def test_a_run_without_a_model_says_what_to_give(photo_bench, tmp_path):
    with pytest.raises(pb.PiebenchError, match="--model is missing"):
        pb.run(tmp_path, data=photo_bench, inversion="ddim", method="p2p")


def test_scores_are_a_row_per_picture(done, scored):
    folder, edits = done
    assert len(scored) == len(edits) and set(COLUMNS) <= set(scored.columns)
    assert scored.attrs["file"] == str(folder / "scores.csv")
    assert scored.attrs["about"]["protocol"]["name"] == "paper"
    again = pb.score(folder, metrics=["psnr"], device="cpu", progress=False)
    assert "psnr" in again.columns


def test_a_table_is_the_command_line_s(done, scored):
    folder, _ = done
    pb.score(folder, device="cpu", progress=False, **scored.attrs["about"]["networks"])
    table = pb.table(folder)
    printed = json.loads(piebench("table", folder, "--format", "json").stdout)
    pd.testing.assert_frame_equal(table, pd.DataFrame(printed["rows"]), check_dtype=False)
    assert table.attrs["remarks"] == printed["remarks"]


def test_a_table_of_a_part_of_the_scores(scored):
    table = pb.table(scored[scored["inversion"] == "direct"])
    assert table["inversion"].tolist() == ["direct"] and table["images"].tolist() == [2]
    assert any(
        "protocol" in r or "no verdict" in r for r in pb.table(scored, compare_paper=True).attrs["remarks"]
    )
    versus = pb.table(scored, versus="ddim+p2p")
    assert set(versus["combination"]) == {"direct+p2p"}


def test_one_table_at_a_time(scored):
    with pytest.raises(pb.PiebenchError, match="compare_paper and by_type"):
        pb.table(scored, compare_paper=True, by_type=True)


def test_anybodys_pictures(samples, photo_bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edits").mkdir()
    for sample in samples[1:]:
        Image.fromarray(load_image(sample.file) // 2).save(tmp_path / f"edits/{sample.id}.png")
    mine = {"images": "edits", "data": photo_bench, "name": "mine", "metrics": "psnr,mse", "progress": False}
    with pytest.raises(pb.PiebenchError, match="1 pictures are missing"):
        pb.score(**mine)
    with pytest.warns(pb.PiebenchWarning, match=samples[0].id):
        scores = pb.score(**mine, allow_missing=True)
    assert len(scores) == len(samples) - 1 and np.isfinite(scores["psnr"]).all()
    assert pb.table(scores)["name"].tolist() == ["mine"]
    with pytest.raises(pb.PiebenchError, match="int8"):
        pb.score(**mine, precision="int8")

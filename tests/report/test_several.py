"""Several runs and scored folders on one page."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from piebench_eval.report import paths
from piebench_eval.report.content import read_content
from tests.report.synthetic import score_rows
from tests.support.commands import piebench

PAIRS = [("ddim", "p2p"), ("direct", "p2p")]


@pytest.fixture
def mine(samples, photo_bench, tmp_path):
    """A folder's scores, and what piebench score writes of them; one edit is the last of three panels."""
    images = tmp_path / "edits"
    images.mkdir()
    for number, sample in enumerate(samples):
        picture = Image.open(sample.file).convert("RGB")
        edit = Image.new("RGB", picture.size, (number, 200, 30))
        if number == 0:
            strip = np.hstack([np.asarray(picture), np.asarray(picture), np.asarray(edit)])
            edit = Image.fromarray(strip)
        edit.save(images / f"{sample.id}.png")
    rows = score_rows(samples, [("", "x")], seed=3).drop(columns=["inversion", "method"])
    rows.assign(name="mine").to_csv(tmp_path / "mine.csv", index=False)
    about = {"images": str(images), "data": str(photo_bench), "name": "mine", "image_loader": None}
    (tmp_path / "mine.json").write_text(json.dumps({**about, "networks": {}, "precision": "bf16"}))
    return tmp_path / "mine.csv"


@pytest.fixture
def other(scored, samples, tmp_path):
    """The same combinations once more, with other scores."""
    folder = tmp_path / "other"
    shutil.copytree(scored, folder)
    score_rows(samples, PAIRS, seed=5).to_csv(folder / "scores.csv", index=False)
    return folder


def test_my_method_stands_beside_the_runs_on_one_page(scored, other, mine, tmp_path):
    done = piebench("report", scored, other, mine, "--out", tmp_path / "look", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["samples"], said["combinations"]) == (4, 5)
    data = (tmp_path / "look" / paths.DATA).read_text()
    data = json.loads(data.removeprefix("const REPORT = ").removesuffix(";\n"))
    found = [(each["name"], each["isEdit"], each["suffix"]) for each in data["combinations"]]
    runs = [(f"{run}/{name}+p2p", True, ".jpg") for name in ("ddim", "direct") for run in ("other", "run")]
    assert [(name, is_edit) for name, is_edit, _ in found] == [*[each[:2] for each in runs], ("mine", True)]
    assert found[-1][2] is None and found[0][2] is not None
    assert data["scores"][0] != data["scores"][1]
    assert "run, other, mine" in (tmp_path / "look" / paths.PAGE).read_text()


def test_every_combination_has_its_own_pictures(scored, other, mine):
    shown = read_content([scored, other, mine])
    assert shown.gone == shown.unscored == 0
    for combination in shown.combinations:
        files = {shown.pictures[combination.name, sample.id] for sample in shown.samples}
        folder = {"run": scored, "other": other, "": mine.parent / "edits"}[combination.run]
        assert all(file.is_relative_to(folder) for file in files)


def test_of_a_strip_the_edit_is_shown(scored, mine, tmp_path):
    assert piebench("report", scored, mine, "--out", tmp_path / "look").returncode == 0
    with Image.open(tmp_path / "look" / paths.copy(2, 0)) as image:
        assert image.width == image.height
        assert np.abs(np.asarray(image.convert("RGB")).mean(axis=(0, 1)) - (0, 200, 30)).max() < 3


def test_a_scored_folder_alone_is_a_page_too(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = piebench("report", mine)
    assert done.returncode == 0, done.stderr
    assert "Open: piebench-report/index.html" in done.stdout


def test_scores_that_do_not_say_where_their_pictures_are(scored, mine):
    mine.with_suffix(".json").unlink()
    done = piebench("report", scored, mine)
    assert done.returncode == 2
    assert "does not say where its pictures are" in " ".join(done.stderr.split())


def test_unscored_edits_of_one_run_are_no_others(scored, other):
    lines = (other / "scores.csv").read_text().splitlines()
    (other / "scores.csv").write_text("\n".join(line for line in lines if ",ddim," not in line) + "\n")
    shown = read_content([scored, other])
    assert shown.unscored == 4
    assert all(file.is_relative_to(scored) for (name, _), file in shown.pictures.items() if "ddim" in name)

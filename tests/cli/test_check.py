"""``piebench check`` as continuous integration meets it."""

import json
import os
import shutil
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.plan import Selection
from tests.support.commands import in_a_new_process
from tests.support.runs import run

METRICS = "psnr_unedit_part,mse_unedit_part,ssim_unedit_part"


def piebench(*arguments, **environment):
    """Exit code, and what was printed on both consoles."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def scored_run(folder, model, data, limit=2, **overrides):
    fields = {"model": str(model), "inversions": ["ddim", "direct"], "methods": ["p2p"], "steps": 2}
    run(build_recipe(fields, overrides, "test"), data, folder, Selection(limit=limit))
    score(folder)
    return folder


def score(folder, *options):
    code, printed = piebench("score", folder, "--metrics", METRICS, "--device", "cpu", *options)
    assert code == 0, printed


def test_help_teaches_without_heavy_imports():
    for done in in_a_new_process(["check", "--help"], ["sweep", "--help"]):
        assert done.returncode == 0 and "Examples" in done.stdout and done.heavy == ()


def test_wrong_usage_is_quick_plain_and_fails(tmp_path):
    (tmp_path / "base.csv").write_text("method,inversion,psnr\n")
    (tmp_path / "base.json").write_text("{}")
    base = ("--baseline", tmp_path / "base.csv")
    model = ("--model", "a/b", "--data", tmp_path, "--inversion", "direct", "--method", "p2p")
    wrong = (
        (["check", tmp_path], "--baseline"),
        (["check", tmp_path, "--baseline", tmp_path / "no.csv"], "no.csv: no such file"),
        (["check", tmp_path, *base], "base.json: does not hold"),
        (["check", tmp_path, *base, "--update"], "make it with piebench score"),
        (["sweep", tmp_path], "holds no sweep"),
        (["sweep", tmp_path, "--device", "gpu"], "--device gpu"),
        (["run", "--out", tmp_path / "x", *model, "--sweep", "method.cross=1,2"], "method.cross"),
        (["run", "--out", tmp_path / "x", *model, "--sweep", "steps"], "KEY=V1,V2"),
    )
    finished = in_a_new_process(*(arguments for arguments, _ in wrong))
    for (arguments, words), done in zip(wrong, finished, strict=True):
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and done.heavy == (), (arguments, done.heavy)
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_model, photo_bench):
    """A run, and the baseline that it makes."""
    folder = tmp_path_factory.mktemp("gate")
    scored_run(folder / "run", tiny_model, photo_bench)
    code, printed = piebench("check", folder / "run", "--baseline", folder / "base.csv", "--update")
    assert code == 0 and "2 rows in" in printed
    (folder / "tolerances.yaml").write_text("psnr: 0.5\nmse: 5\nssim: 0.5\n")
    return folder


@pytest.fixture
def gate(made, tmp_path):
    """A copy of both that a test may spoil."""
    shutil.copytree(made, tmp_path / "gate")
    return tmp_path / "gate"


def check(gate, *options, result="run", **environment):
    return piebench("check", gate / result, "--baseline", gate / "base.csv", *options, **environment)


def change_scores(gate, change):
    file = gate / "run" / "scores.csv"
    change(pd.read_csv(file, dtype={"id": str})).to_csv(file, index=False)


def change_json(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def brighten(scores):
    moved = scores.copy()
    moved.loc[moved["inversion"] == "direct", "psnr_unedit_part"] += 1
    return moved


def test_the_same_run_holds(gate):
    code, printed = check(gate)
    assert code == 0 and "6 cells hold; none has moved." in printed
    code, printed = check(gate, result="run/scores.csv")
    assert code == 0 and "names its samples only by id" in printed


def test_a_baseline_says_what_made_it(gate, tiny_model):
    about = json.loads((gate / "base.json").read_text())
    assert {"made", "piebench_eval", "recipe_hash", "models", "precision"} <= set(about)
    assert about["recipe"]["combinations"]["direct+p2p"]["steps"] == 2
    assert len(about["samples"]["ids"]) == 2 and len(about["samples"]["fingerprint"]) == 64
    assert about["protocol"]["name"] == "paper" and "torch" in about["versions"]["edits"]
    assert set(about["models"]) == {str(tiny_model)}


def test_a_cell_that_moved_too_far_ends_in_one(gate):
    change_scores(gate, brighten)
    code, printed = check(gate)
    assert code == 1
    assert "direct+p2p" in printed and "FAILED" in printed and "at most 0.5 is allowed" in printed
    assert "1 of 6 cells" in printed


def test_what_the_tolerance_allows_is_told_and_holds(gate):
    change_scores(gate, brighten)
    (gate / "wide.yaml").write_text("psnr: 2\nmse: 5\nssim: 0.5\n")
    code, printed = check(gate, "--tolerances", gate / "wide.yaml")
    assert code == 0 and "+1.000" in printed and "50.0% of what is allowed" in printed


def test_a_combination_or_metric_that_is_missing_ends_in_one(gate):
    change_scores(gate, lambda scores: scores[scores["inversion"] == "ddim"])
    code, printed = check(gate)
    assert code == 1 and "direct+p2p: missing" in printed
    change_scores(gate, lambda scores: scores.drop(columns="ssim_unedit_part"))
    assert "ddim+p2p: ssim is missing" in check(gate)[1]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"guidance": 5}, "direct+p2p.guidance: 7.5 -> 5.0"),
        ({"method.self_replace_steps": 0.3}, "method.self_replace_steps: 0.6 -> 0.3"),
        ({"image_format": "jpeg:75"}, "image_format: png -> jpeg:75"),
    ],
)
def test_another_recipe_is_no_regression_but_a_mistake(gate, tiny_model, photo_bench, overrides, named):
    scored_run(gate / "other", tiny_model, photo_bench, **overrides)
    code, printed = check(gate, result="other")
    assert code == 2 and named in printed and "cannot be compared with" in printed


def test_other_samples_are_a_mistake(gate, tiny_model, photo_bench):
    scored_run(gate / "other", tiny_model, photo_bench, limit=3)
    code, printed = check(gate, result="other")
    assert code == 2 and "samples: not in the baseline: " in printed


def test_other_pictures_under_the_same_ids_are_a_mistake(gate, tiny_model, photo_bench):
    from PIL import Image, ImageOps

    shutil.copytree(photo_bench, gate / "bench")
    for file in (gate / "bench" / "annotation_images").rglob("*.*"):
        ImageOps.mirror(Image.open(file).convert("RGB")).save(file)
    scored_run(gate / "other", tiny_model, gate / "bench")
    code, printed = check(gate, result="other")
    assert code == 2 and "other pictures, prompts or masks under the same ids" in printed


def test_pictures_packed_otherwise_are_the_same_pictures(gate, tiny_model, photo_bench):
    from PIL import Image

    shutil.copytree(photo_bench, gate / "bench")
    for file in (gate / "bench" / "annotation_images").rglob("*.png"):
        Image.open(file).save(file, compress_level=1)
    scored_run(gate / "other", tiny_model, gate / "bench")
    assert check(gate, result="other")[0] == 0


def test_a_copy_of_the_model_is_the_model_and_another_is_not(gate, tiny_model, photo_bench):
    shutil.copytree(tiny_model, gate / "renamed")
    scored_run(gate / "other", gate / "renamed", photo_bench)
    assert check(gate, result="other")[0] == 0
    file = gate / "renamed" / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text() + "\n")
    scored_run(gate / "another", gate / "renamed", photo_bench)
    code, printed = check(gate, result="another")
    assert code == 2 and "direct+p2p.model: weights " in printed


def test_another_protocol_or_precision_is_a_mistake(gate):
    score(gate / "run", "--protocol", "modern")
    code, printed = check(gate)
    assert code == 2 and "protocol." in printed
    score(gate / "run", "--precision", "bf16")
    assert "precision of the scores: fp32 -> bf16" in check(gate)[1]


def test_other_networks_are_a_mistake(gate):
    for file, dino in ((gate / "base.json", "a/dino"), (gate / "run" / "scores.json", "b/dino")):
        change_json(file, lambda about, dino=dino: about["networks"].update(dino=dino))
    code, printed = check(gate)
    assert code == 2 and "networks.dino: a/dino -> b/dino" in printed


def test_other_libraries_are_told_and_no_obstacle(gate):
    change_json(gate / "base.json", lambda about: about["versions"]["scores"].update(numpy="1.0"))
    code, printed = check(gate)
    assert code == 0 and "other version than the baseline's: scores.numpy: 1.0 -> " in printed


def test_further_combinations_and_unknown_settings_are_no_obstacle(gate):
    def forget(about):
        del about["recipe"]["combinations"]["direct+p2p"]["quirks.pixel_overflow"]
        del about["recipe"]["combinations"]["ddim+p2p"]

    change_json(gate / "base.json", forget)
    assert check(gate)[0] == 0


def test_runs_that_share_nothing_are_a_mistake(gate):
    change_scores(gate, lambda scores: scores.assign(method="pnp"))
    code, printed = check(gate)
    assert code == 2 and "they share none" in printed


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda gate: (gate / "base.json").unlink(), "base.json: missing or damaged"),
        (lambda gate: cut(gate / "base.json"), "base.json: missing or damaged"),
        (lambda gate: cut(gate / "base.csv"), "is not the table that base.json describes"),
        (lambda gate: (gate / "base.csv").unlink(), "no such file"),
        (lambda gate: (gate / "base.csv").write_bytes(b"\xff\xfe"), "base.csv: cannot be read"),
        (lambda gate: change_json(gate / "base.json", lambda about: about.pop("samples")), "samples"),
        (lambda gate: change_json(gate / "base.json", lambda a: a.update(recipe=3)), "recipe: must be"),
        (lambda gate: change_json(gate / "base.json", lambda a: a["samples"].pop("ids")), "samples.ids"),
        (lambda gate: (gate / "tolerances.yaml").unlink(), "tolerances.yaml: cannot be read"),
        (lambda gate: (gate / "tolerances.yaml").write_text("psnr: 1"), "mse, ssim: is missing"),
        (lambda gate: (gate / "tolerances.yaml").write_text("psnr: -1"), "psnr: -1 is no tolerance"),
        (lambda gate: (gate / "tolerances.yaml").write_text("psnr: .nan"), "psnr: nan is no tolerance"),
        (lambda gate: (gate / "tolerances.yaml").write_text("psnr: .inf"), "psnr: allows everything"),
        (lambda gate: (gate / "tolerances.yaml").write_text("["), "is not valid YAML"),
        (lambda gate: (gate / "tolerances.yaml").write_text("- 1"), "is no mapping"),
        (lambda gate: (gate / "run" / "scores.csv").unlink(), "make it with piebench score"),
        (lambda gate: (gate / "run" / "manifest.json").unlink(), "manifest.json"),
    ],
)
def test_damaged_files_end_in_two_with_a_remedy(gate, spoil, named):
    spoil(gate)
    code, printed = check(gate)
    assert code == 2 and named in printed, printed


def test_line_ends_of_another_system_are_no_damage(gate):
    file = gate / "base.csv"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert check(gate)[0] == 0


def test_reports(gate):
    change_scores(gate, brighten)
    page = gate / "page.md"
    page.write_text("before\n")
    options = ("--junit", gate / "gate.xml", "--github-summary", "--json")
    done = CliRunner().invoke(
        app,
        ["check", str(gate / "run"), "--baseline", str(gate / "base.csv"), *map(str, options)],
        env={"GITHUB_STEP_SUMMARY": str(page)},
    )
    assert done.exit_code == 1
    printed = json.loads(done.stdout)
    assert printed["passed"] is False and len(printed["cells"]) == 6
    suite = next(ElementTree.parse(gate / "gate.xml").iter("testsuite"))
    assert (suite.get("tests"), suite.get("failures")) == ("6", "1")
    text = page.read_text()
    assert text.startswith("before\n### FAILED") and "| direct+p2p | psnr |" in text


def test_a_summary_page_that_is_not_there_is_a_mistake(gate, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    code, printed = check(gate, "--github-summary")
    assert code == 2 and "GITHUB_STEP_SUMMARY is not set" in printed
    assert "GITHUB_STEP_SUMMARY" not in os.environ


def test_an_update_says_what_it_replaces(gate, tiny_model, photo_bench):
    scored_run(gate / "other", tiny_model, photo_bench, guidance=5)
    code, printed = check(gate, "--update", result="other")
    assert code == 0
    assert "direct+p2p.guidance: 7.5 -> 5.0" in printed and "direct+p2p: psnr" in printed
    assert check(gate, result="other")[0] == 0 and check(gate)[0] == 2
    (gate / "base.json").write_text("{")
    assert "replaces an unusable baseline" in check(gate, "--update")[1]
    assert not list(gate.rglob("*.partial"))


def test_an_update_keeps_off_what_is_no_baseline(gate):
    before = (gate / "run" / "scores.csv").read_bytes()
    for place, words in (
        ("run/scores.csv", "a CSV file that is not the scores"),
        ("base.json", "name a CSV file"),
    ):
        code, printed = piebench("check", gate / "run", "--baseline", gate / place, "--update")
        assert code == 2 and words in printed
    shutil.copytree(gate / "run", gate / "other")
    code, printed = piebench("check", gate / "run", "--baseline", gate / "other/scores.csv", "--update")
    assert code == 2 and "describes no baseline" in printed
    assert (gate / "other" / "scores.csv").read_bytes() == before
    code, printed = check(gate, "--update", "--junit", gate / "x.xml")
    assert code == 2 and "compares nothing" in printed


def test_a_baseline_needs_the_same_samples_everywhere(gate):
    change_scores(gate, lambda scores: scores.iloc[:-1])
    code, printed = check(gate, "--update")
    assert code == 2 and "lacks" in printed and "finish the run" in printed


def test_anybodys_scores_can_be_held(tmp_path, samples, photo_bench):
    from PIL import Image

    from piebench_eval.data.images import load_image

    (tmp_path / "edits").mkdir()
    for sample in samples:
        Image.fromarray(load_image(sample.file) // 2).save(tmp_path / "edits" / f"{sample.id}.png")
    scores = tmp_path / "mine.csv"
    options = ("--images", tmp_path / "edits", "--data", photo_bench, "--name", "mine <&|>")
    code, printed = piebench("score", *options, "--out", scores, "--metrics", METRICS, "--device", "cpu")
    assert code == 0, printed
    held = ("check", scores, "--baseline", tmp_path / "base.csv", "--data", photo_bench)
    assert piebench(*held, "--update")[0] == 0
    (tmp_path / "tolerances.yaml").write_text(yaml.safe_dump({"psnr": 0, "mse": 0, "ssim": 0}))
    code, printed = piebench(*held, "--junit", tmp_path / "gate.xml")
    assert code == 0 and "3 cells hold" in printed and "only by id" not in printed
    assert next(ElementTree.parse(tmp_path / "gate.xml").iter("testcase")).get("classname") == "mine <&|>"

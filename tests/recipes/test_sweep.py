"""The grid of a sweep: its points, their names, and what may share its folder."""

import json
import shutil

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.sweep import (
    RECIPE_FIELD,
    axes_of_fields,
    folder_name,
    parse_axes,
    plan_sweep,
)
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.paths import SWEEP_FILE, refuse_sweep_out
from piebench_eval.runs.store.sweep_folder import check_sweep_folder, read_sweep, write_sweep
from tests.support.recipes import shipped
from tests.support.runs import digests

FIELDS = {"model": "a/b", "inversions": ["ddim", "direct"], "methods": ["p2p"]}


def build(settings):
    return build_recipe(FIELDS, settings, "test")


def plan(*texts, fixed=()):
    return plan_sweep(parse_axes(texts), fixed, build)


def test_a_grid_has_every_combination_of_values():
    sweep, recipes = plan("inversion.guidance=1,2.5", "method.self_replace_steps=0.4,0.6,0.8")
    assert len(sweep.runs) == len(recipes) == 6
    assert [point.folder for point in sweep.runs[:2]] == [
        "guidance=1,self_replace_steps=0.4",
        "guidance=1,self_replace_steps=0.6",
    ]
    last = recipes[-1]
    assert {settings.guidance for settings in last.inversions.values()} == {2.5}
    assert last.methods["p2p"].self_replace_steps == 0.8
    assert [point.recipe_hash for point in sweep.runs] == [recipe.hash for recipe in recipes]
    assert len({recipe.hash for recipe in recipes}) == 6


def test_several_axes_may_stand_in_one_text():
    together = parse_axes(["inversion.guidance=1,2.5  method.controller=auto,refine"])
    assert together == parse_axes(["inversion.guidance=1,2.5", "method.controller=auto,refine"])
    assert parse_axes(["method.negative_prompt=ugly cat,null"]) == {
        "method.negative_prompt": ["ugly cat", None]
    }


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["guidance"], "KEY=V1,V2"),
        (["=1,2"], "KEY=V1,V2"),
        (["guidance="], "empty"),
        (["guidance=1,,2"], "empty"),
        (["guidance=1", "guidance=2"], "twice"),
        (["guidance=1,1.0"], "same recipe"),
        (["steps=10,0"], "run steps=0: test: steps"),
        (["inversion.guidence=1"], "inversion.guidence"),
        (["method.controller=auto,never"], "run controller=never"),
        (["inversions=ddim,direct"], "no such field"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_runs(texts, words):
    with pytest.raises(PiebenchError, match=words):
        plan(*texts)


def test_a_key_that_is_set_cannot_be_swept():
    with pytest.raises(PiebenchError, match="guidance: is set to one value"):
        plan("guidance=1,2", fixed={"guidance", "steps"})


@pytest.mark.parametrize(
    "value", ["/etc", "..", "a/b", "a b", "x" * 300, None, True, 1e-5, "jpeg:75", "日本", "a\nb", "--set", ""]
)
def test_folder_names_are_safe(value, tmp_path):
    name = folder_name({"method.key": value})
    assert "/" not in name and len(name) < 100 and name.startswith("key=")
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_values_that_would_share_a_folder_are_refused():
    with pytest.raises(PiebenchError, match="same folder"):
        plan("model=a/b,a_b")


def test_what_is_kept_is_read_again(tmp_path):
    sweep, _ = plan("inversion.guidance=1,2.5", "image_format=png,jpeg:75")
    write_sweep(sweep, tmp_path)
    assert read_sweep(tmp_path) == sweep
    with pytest.raises(PiebenchError, match="holds a sweep"):
        refuse_sweep_out(tmp_path)
    refuse_sweep_out(tmp_path / "elsewhere")


def test_a_sweep_may_grow_and_not_change(tmp_path):
    write_sweep(plan("guidance=1,2")[0], tmp_path)
    check_sweep_folder(plan("guidance=1,2,3")[0], tmp_path)
    for other in (["guidance=1,3"], ["guidance=1,2", "seed=1,2"]):
        with pytest.raises(PiebenchError, match=r"holds another sweep.*guidance=2"):
            check_sweep_folder(plan(*other)[0], tmp_path)
    recipe = {**FIELDS, "steps": 20}
    changed, _ = plan_sweep({"guidance": [1, 2]}, (), lambda settings: build_recipe(recipe, settings, "x"))
    with pytest.raises(PiebenchError, match="another recipe: guidance=1, guidance=2"):
        check_sweep_folder(changed, tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "[", "3", "axes: {a: [1]}", "axes: {a: [1]}\npoints: []", "axes: {a: [1]}\npoints: [{folder: x}]"],
)
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / SWEEP_FILE).write_text(content)
    with pytest.raises(PiebenchError, match=r"sweep\.yaml: is damaged"):
        read_sweep(tmp_path)


def test_a_folder_outside_the_sweep_is_not_read(tmp_path):
    sweep, _ = plan("guidance=1,2")
    write_sweep(sweep, tmp_path)
    file = tmp_path / SWEEP_FILE
    file.write_text(file.read_text().replace("folder: guidance=1", "folder: ../guidance=1"))
    with pytest.raises(PiebenchError, match="is damaged"):
        read_sweep(tmp_path)


def test_a_recipes_file_may_bring_axes():
    assert axes_of_fields({"sweep": {"steps": [10, 20]}}, "x") == {"steps": [10, 20]}
    assert axes_of_fields({}, "x") == {}
    for wrong in (3, [1], {"steps": 10}, {"steps": []}, None):
        with pytest.raises(PiebenchError, match="x: sweep: must be a mapping"):
            axes_of_fields({"sweep": wrong}, "x")


ABLATIONS = sorted(recipe_file("ablations/guidance").parent.glob("*.yaml"))


@pytest.mark.parametrize("file", ABLATIONS, ids=lambda file: file.stem)
def test_the_ablations_differ_from_the_papers_recipe_in_what_they_sweep(file):
    fields = read_recipe_fields(file)
    axes = axes_of_fields(fields, str(file))
    own = {name: value for name, value in fields.items() if name != RECIPE_FIELD}
    _, recipes = plan_sweep(axes, (), lambda settings: build_recipe(own, settings, str(file)))
    paper = shipped("paper")
    theirs = paper.combination("direct", "p2p").flat()
    for recipe in recipes:
        ours = recipe.combination("direct", "p2p").flat()
        assert {key for key in ours if ours[key] != theirs[key]} <= set(axes)
        assert recipe.image_format == paper.image_format


def test_the_guidance_ablation_is_the_papers_grid():
    assert yaml.safe_load(recipe_file("ablations/guidance").read_text())["sweep"] == {
        "inversion.guidance": [0, 1, 2.5, 5, 7.5],
        "guidance": [1, 2.5, 5, 7.5],
    }


def piebench(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def command(tiny_model, photo_bench):
    """A sweep of four points, two edits each."""
    options = ("run", "--data", photo_bench, "--model", tiny_model, "--inversion", "ddim,direct", "--method",
               "p2p", "--steps", 2, "--limit", 1, "--device", "cpu")  # fmt: skip
    axes = ("--sweep", "inversion.guidance=1,2.5", "--sweep", "method.self_replace_steps=0.4,0.125")
    return (*options, *axes)


PIXELS = ("--metrics", "psnr_unedit_part,mse_unedit_part", "--device", "cpu")


@pytest.fixture(scope="module")
def swept(command, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps") / "grid"
    code, printed = piebench(*command, "--out", out)
    assert code == 0 and "4 runs: 8 edits made, 0 were there" in printed, printed
    return out


def test_points_are_ordinary_runs_and_share_a_cache(swept):
    sweep = read_sweep(swept)
    for point in sweep.runs:
        store = RunStore.read(swept / point.folder)
        assert store.recipe.hash == point.recipe_hash and len(store.records()) == 2
    first, second = (RunStore.read(swept / point.folder).records() for point in sweep.runs[:2])
    reused = [sum(record["unet_rows_reused"] for record in of.values()) for of in (first, second)]
    assert reused[1] > reused[0], "the second point has the first's trajectories"


def test_a_sweep_goes_on_point_by_point(swept, command, tmp_path):
    out = tmp_path / "grid"
    shutil.copytree(swept, out)
    point = read_sweep(out).runs[2]
    next((out / point.folder / "images").rglob("*.png")).unlink()
    shutil.rmtree(out / read_sweep(out).runs[3].folder)
    assert "is not made yet" in piebench("sweep", out, *PIXELS)[1]
    code, printed = piebench(*command, "--out", out)
    assert code == 0 and "3 edits made, 5 were there already" in printed
    assert digests_of(out) == digests_of(swept)


def digests_of(out):
    return {point.folder: digests(out / point.folder) for point in read_sweep(out).runs}


def test_a_dry_run_edits_nothing(command, tmp_path):
    code, printed = piebench(*command, "--out", tmp_path / "grid", "--dry-run")
    assert code == 0 and printed.count("NFE: model evaluations") == 4
    assert not (tmp_path / "grid").exists()


def test_the_table_has_a_row_per_point_and_combination(swept):
    code, _ = piebench("sweep", swept, *PIXELS)
    assert code == 0
    table = pd.read_csv(swept / "table.csv")
    assert list(table.columns[:5]) == [
        "inversion.guidance",
        "method.self_replace_steps",
        "method",
        "inversion",
        "images",
    ]
    assert table["inversion.guidance"].tolist() == [1, 1, 1, 1, 2.5, 2.5, 2.5, 2.5]
    assert table["inversion"].tolist() == ["ddim", "direct"] * 4
    assert {"psnr", "psnr_low", "psnr_n", "mse"} <= set(table.columns)
    rows = json.loads(CliRunner().invoke(app, ["sweep", str(swept), *PIXELS, "--format", "json"]).stdout)
    assert rows["rows"][-1]["method.self_replace_steps"] == 0.125 and len(rows["rows"]) == 8


@pytest.mark.parametrize("output", ["table", "markdown", "latex", "csv"])
def test_swept_values_are_never_rounded(swept, output):
    done = CliRunner().invoke(app, ["sweep", str(swept), *PIXELS, "--format", output])
    assert done.exit_code == 0 and done.stdout.count("0.125") == 4
    assert "…" not in done.stdout


def test_sweeps_and_runs_keep_out_of_each_others_folders(swept, command):
    single = command[: command.index("--sweep")]
    code, printed = piebench(*single, "--out", swept)
    assert code == 2 and "holds a sweep" in printed
    code, printed = piebench(*command, "--out", swept / read_sweep(swept).runs[0].folder)
    assert code == 2 and "holds a run" in printed
    code, printed = piebench(*command, "--out", swept, "--sweep", "seed=1,2")
    assert code == 2 and "holds another sweep" in printed
    code, printed = piebench(*command, "--out", swept, "--set", "inversion.guidance=3")
    assert code == 2 and "is set to one value" in printed


def test_a_file_brings_axes_and_the_command_line_has_the_last_word(tiny_model, photo_bench, tmp_path):
    file = tmp_path / "recipe.yaml"
    fields = {**FIELDS, "model": str(tiny_model), "steps": 2, "sweep": {"guidance": [1, 2], "seed": [5]}}
    file.write_text(yaml.safe_dump(fields))
    options = ("run", "--config", file, "--data", photo_bench, "--limit", 1, "--device", "cpu", "--dry-run")
    code, printed = piebench(*options, "--out", tmp_path / "grid", "--sweep", "guidance=3")
    assert code == 0 and "guidance=3,seed=5" in printed and "guidance=1" not in printed


def test_a_point_that_became_another_run_is_refused(swept, tmp_path):
    out = tmp_path / "grid"
    shutil.copytree(swept, out)
    one, other = (out / point.folder for point in read_sweep(out).runs[:2])
    shutil.rmtree(one)
    shutil.copytree(other, one)
    code, printed = piebench("sweep", out, *PIXELS)
    assert code == 2 and "another recipe than the sweep's" in printed

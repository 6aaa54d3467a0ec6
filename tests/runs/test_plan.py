"""A run from folder to table: resuming, refusing, surviving a kill."""

import json
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.store.folder import RunStore
from tests.support.commands import piebench
from tests.support.photos import save_shapes_bench
from tests.support.runs import digests, recorded_edits, run, start_piebench, wait_for_pictures

STEPS = 4


@pytest.fixture
def recipe(tiny_model):
    fields = {"model": str(tiny_model), "inversions": ["ddim", "direct"], "methods": ["p2p"], "steps": STEPS}
    return build_recipe(fields, {}, "test")


def test_a_run_leaves_everything_and_resumes(recipe, photo_bench, tmp_path):
    out = tmp_path / "run"
    first = run(recipe, photo_bench, out, Selection(limit=2))
    assert (first.made, first.found) == (4, 0)
    before = digests(out)
    second = run(recipe, photo_bench, out)
    assert (second.made, second.found) == (4, 4)
    assert digests(out).items() >= before.items()
    first_note, second_note = second.notes["912000000004"]
    assert "zebra" in first_note and "other blended word" in second_note
    store = RunStore.read(out)
    assert store.recipe == recipe.stored
    records = store.records()
    assert len(records) == 8
    record = records["direct", "p2p", "812000000003"]
    assert record["unet_rows_forward"] == STEPS + 2 * 3 + 2 * 2 and record["unet_rows_backward"] == 0
    assert record["seconds"] > 0 and record["peak_memory_bytes"] > 1e6
    manifest = store.manifest()
    assert len(manifest["samples"]) == 4 and len(manifest["sessions"]) == 2
    assert manifest["recipe_hash"] == recipe.hash and list(manifest["models"].values()) != [None]


def test_jpeg_is_saved_as_the_reference_does(recipe, photo_bench, tmp_path):
    recipe = build_recipe(dict(recipe), {"image_format": "jpeg:75"}, "test")
    run(recipe, photo_bench, tmp_path / "run", Selection(limit=1))
    file = tmp_path / "run" / "images" / "direct+p2p" / "0_random_140" / "000000000001.jpg"
    assert Image.open(file).format == "JPEG"
    # Luma quantisation at quality 75 begins with 8, and chroma is halved both ways.
    assert Image.open(file).quantization[0][0] == 8
    assert Image.open(file).layer[0][1:3] == (2, 2)


def test_another_recipe_is_refused_before_the_model_is_loaded(recipe, photo_bench, tmp_path):
    run(recipe, photo_bench, tmp_path / "run", Selection(limit=1))
    other = build_recipe(dict(recipe), {"guidance": 5}, "test")
    with pytest.raises(PiebenchError, match=r"guidance: 7.5 -> 5"):
        plan_run(other, photo_bench, tmp_path / "run", Selection())


def test_changed_data_and_changed_weights_are_refused(recipe, photo_bench, tmp_path):
    data, model = tmp_path / "data", tmp_path / "model"
    shutil.copytree(photo_bench, data)
    shutil.copytree(recipe.model, model)
    recipe = build_recipe(dict(recipe), {"model": str(model)}, "test")
    run(recipe, data, tmp_path / "run", Selection(limit=1))
    config = model / "scheduler" / "scheduler_config.json"
    kept = config.read_text()
    config.write_text(kept + "\n")
    with pytest.raises(PiebenchError, match="model"):
        run(recipe, data, tmp_path / "run")
    config.write_text(kept)
    picture = next((data / "annotation_images").rglob("9*.png"))
    Image.new("RGB", (128, 128)).save(picture)
    with pytest.raises(PiebenchError, match="benchmark folder"):
        run(recipe, data, tmp_path / "run")


def test_a_damaged_manifest_is_named(recipe, photo_bench, tmp_path):
    run(recipe, photo_bench, tmp_path / "run", Selection(limit=1))
    manifest = tmp_path / "run" / "manifest.json"
    for content in ("", "{", "[1]", '{"format": 3}'):
        manifest.write_text(content)
        with pytest.raises(PiebenchError, match=r"manifest\.json"):
            run(recipe, photo_bench, tmp_path / "run")
    manifest.unlink()
    with pytest.raises(PiebenchError, match=r"manifest\.json: missing"):
        run(recipe, photo_bench, tmp_path / "run")


def test_a_folder_of_another_version_is_refused(recipe, photo_bench, tmp_path):
    run(recipe, photo_bench, tmp_path / "run", Selection(limit=1))
    (tmp_path / "run" / "manifest.json").write_text('{"format": 2, "recipe_hash": ""}')
    with pytest.raises(PiebenchError, match="folder format 2"):
        run(recipe, photo_bench, tmp_path / "run")


def test_latents_that_are_no_numbers_are_no_finished_edit(recipe, photo_bench, tmp_path):
    recipe = build_recipe(dict(recipe), {"guidance": 1e38}, "test")
    failed = run(recipe, photo_bench, tmp_path / "run", Selection(limit=1)).failed
    assert "000000000001 are no longer finite" in failed["direct+p2p 000000000001"]
    assert not list((tmp_path / "run").rglob("*.png"))


def test_a_blend_without_maps_says_what_to_change(recipe, photo_bench, tmp_path):
    recipe = build_recipe(dict(recipe), {"method.blend_downsampling": 3}, "test")
    failed = run(recipe, photo_bench, tmp_path / "run", Selection(limit=1)).failed
    assert len(failed) == 2 and all("blend_downsampling" in error for error in failed.values())


@pytest.mark.slow  # test_matrix.py compares latents and pictures of every precision with float32's
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_comes_close(recipe, photo_bench, tmp_path, precision):
    half = build_recipe(dict(recipe), {"precision": precision}, "test")
    run(recipe, photo_bench, tmp_path / "full", Selection(limit=2))
    run(half, photo_bench, tmp_path / "half", Selection(limit=2))
    for file in (tmp_path / "full" / "images").rglob("*.png"):
        full = np.asarray(Image.open(file), dtype=float)
        other = np.asarray(Image.open(tmp_path / "half" / file.relative_to(tmp_path / "full")), dtype=float)
        assert 0 < np.abs(full - other).mean() < 8


def test_a_batch_cut_short_is_computed_again_as_the_same_batch(recipe, photo_bench, tmp_path):
    run(recipe, photo_bench, tmp_path / "whole", batch_size=4)
    run(recipe, photo_bench, tmp_path / "cut", batch_size=4)
    lost = next((tmp_path / "cut" / "images" / "direct+p2p").rglob("8*.png"))
    lost.unlink()
    summary = run(recipe, photo_bench, tmp_path / "cut", batch_size=4)
    assert (summary.made, summary.found) == (1, 7)
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def test_resolutions_the_model_cannot_work_at(recipe, photo_bench, tmp_path):
    recipe = build_recipe(dict(recipe), {"resolution": 100}, "test")
    with pytest.raises(PiebenchError, match="multiple of 64"):
        run(recipe, photo_bench, tmp_path / "run")
    assert not RunStore.exists(tmp_path / "run")


@pytest.fixture(scope="module")
def commands(tiny_model, photo_bench, metric_networks):
    """What takes a run folder from nothing to its table."""

    def of_folder(out):
        run = ("run", "--data", photo_bench, "--model", tiny_model, "--inversion", "ddim,direct",
               "--method", "p2p", "--steps", 4, "--device", "cpu", "--out", out)  # fmt: skip
        networks = ("--dino", metric_networks.dino, "--clip", metric_networks.clip,
                    "--lpips-weights", metric_networks.lpips_weights)  # fmt: skip
        return run, ("score", out, *networks), ("table", out)

    return of_folder


def execute_with_progress(commands):
    for arguments in commands:
        done = piebench(*arguments)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def whole(commands, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    execute_with_progress(commands(folder))
    return folder


@pytest.mark.parametrize(
    "signal_number",
    # What a run does at SIGTERM and SIGINT is tested with workers as well, in tests/cli/test_run.py.
    [
        signal.SIGKILL,
        *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGINT)),
    ],
)
def test_a_killed_run_ends_with_the_same_files(commands, whole, tmp_path, signal_number):
    killed = tmp_path / "killed"
    victim = start_piebench(*commands(killed)[0])
    wait_for_pictures(killed, 3, victim)
    victim.send_signal(signal_number)
    _, stderr = victim.communicate(timeout=60)
    if signal_number != signal.SIGKILL:
        assert victim.returncode == 130
        assert "run the same command again" in stderr and "Traceback" not in stderr
    done = len(digests(killed))
    assert 3 <= done < 8
    execute_with_progress(commands(killed))
    assert digests(whole) == digests(killed)
    assert len(digests(whole)) == 8
    for name in ("scores.csv", "table.csv", "recipe.yaml"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name

    assert not list(killed.rglob("*.partial"))
    edits = recorded_edits(killed)
    assert len(edits) == len(set(edits)) == 8
    table = pd.read_csv(whole / "table.csv")
    assert table["inversion"].tolist() == ["ddim", "direct"] and table["psnr_nan"].tolist() == [1, 1]


def test_scores_are_refused_while_pictures_are_missing(recipe, photo_bench, metric_networks, tmp_path):
    out = tmp_path / "run"
    run(recipe, photo_bench, out, Selection(limit=2))
    next((out / "images").rglob("1*.png")).unlink()
    arguments = ("score", out, "--dino", metric_networks.dino, "--clip", metric_networks.clip,
                 "--lpips-weights", metric_networks.lpips_weights)  # fmt: skip
    done = piebench(*arguments)
    assert done.returncode == 2 and "111000000002" in done.stderr and "--allow-missing" in done.stderr
    done = piebench(*arguments, "--allow-missing", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 3
    assert "111000000002" in done.stderr


def test_a_folder_that_cannot_be_written_gives_one_error(recipe, photo_bench, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PiebenchError, match="is a file; name another folder"):
        run(recipe, photo_bench, tmp_path / "file" / "run", Selection(limit=1))
    with pytest.raises(PiebenchError, match="is a file"):
        run(recipe, photo_bench, tmp_path / "file", Selection(limit=1))


def test_a_cache_serves_other_runs(recipe, photo_bench, tmp_path):
    for name in ("first", "second"):
        run(recipe, photo_bench, tmp_path / name, Selection(limit=2), cache=tmp_path / "cache")
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    first, second = (RunStore.read(tmp_path / name).records() for name in ("first", "second"))
    for key, record in second.items():
        assert record["unet_rows_forward"] == first[key]["unet_rows_forward"]
        assert record["unet_rows_reused"] == STEPS
        assert first[key]["unet_rows_reused"] == (0 if key[0] == "ddim" else STEPS)


def test_combinations_may_have_models_of_their_own(recipe, tiny_model, photo_bench, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    fields = {**recipe.model_dump(), "combinations": {"ddim+p2p": {"model": str(other)}, "direct+p2p": {}}}
    run(build_recipe(fields, {}, "test"), photo_bench, tmp_path / "run", Selection(limit=1))
    assert set(RunStore.read(tmp_path / "run").manifest()["models"]) == {str(tiny_model), str(other)}
    assert len(digests(tmp_path / "run")) == 2


def test_a_changed_plugin_is_refused(recipe, photo_bench, tmp_path):
    plugin = tmp_path / "plugin.py"
    code = "from piebench_eval.methods.p2p import P2P\nMETHODS = {'mine': P2P}\n"
    plugin.write_text(code)
    fields = {**recipe.model_dump(), "plugins": [str(plugin)]}
    recipe = build_recipe(fields, {}, "test")
    run(recipe, photo_bench, tmp_path / "run", Selection(limit=1))
    plugin.write_text(code + "# changed")
    with pytest.raises(PiebenchError, match="a plugin changed"):
        run(recipe, photo_bench, tmp_path / "run")


def test_cropping_is_said_once(fake_recipe, tmp_path):
    data = save_shapes_bench(tmp_path / "bench")
    with pytest.warns(PiebenchWarning, match="2 of 3 pictures are not square") as told:
        for number in range(3):
            plan_run(fake_recipe, data, tmp_path / f"run{number}", Selection())
    assert len(told) == 1


@pytest.mark.parametrize(
    ("fields", "refused"),
    [({"precision": "bf16"}, "bf16"), ({"combinations": {"direct+p2p": {"precision": "fp16"}}}, "fp16")],
)
def test_deterministic_layers_are_refused_while_planning(recipe, photo_bench, tmp_path, fields, refused):
    half = build_recipe({**recipe.model_dump(), **fields}, {}, "test")
    with pytest.raises(PiebenchError, match=f"--deterministic: .*not for {refused}"):
        plan_run(half, photo_bench, tmp_path / "run", Selection(), MachineOptions(deterministic=True))
    assert not (tmp_path / "run").exists()

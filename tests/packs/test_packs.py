"""Packs of a small run, whose pictures a fake runner draws: what they hold, and how lies are found."""

import io
import json
import re
import shutil
from types import SimpleNamespace
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.packs.layout import ABOUT_FILE, CHECKSUMS_FILE, RECORDS_FILE
from piebench_eval.packs.levels import Check, Level, reached
from piebench_eval.packs.making import pack_run
from piebench_eval.packs.remaking import Remaking
from piebench_eval.packs.rescoring import Rescoring, _scoring
from piebench_eval.packs.tolerances import TOLERANCES, WITHOUT_NETWORKS
from piebench_eval.packs.verify import verify_pack
from piebench_eval.packs.writing import sha256_of, write_archive
from piebench_eval.recipes.stored_recipe import StoredRecipe
from piebench_eval.runs.machine import MachineOptions
from tests.packs.conftest import by_seed, with_threads

ALL = Rescoring(None, 0, {}, "cpu")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def verify(bench):
    def verify(archive, rescoring=None, remake=0):
        machine = MachineOptions(devices="cpu", make_runner=by_seed)
        return verify_pack(
            archive, bench, rescoring, Remaking(remake, 0, machine=machine) if remake else None
        )

    return verify


def contents(pack):
    with ZipFile(pack) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def files_of_fields(files, name, change):
    """The file of a pack, its JSON changed."""
    about = json.loads(files[name])
    change(about)
    return (json.dumps(about, indent=1) + "\n").encode()


def found(verification):
    return {check.name: check.detail for check in verification.failed}


def test_a_pack_reaches_the_level_that_was_asked_for(verify, pack):
    assert verify(pack).level is Level.SCORES_GIVEN
    assert verify(pack, Rescoring(2, 7, {}, "cpu")).level is Level.RESCORED
    whole = verify(pack, ALL, remake=2)
    assert whole.level is Level.REMADE and not whole.failed and whole.sha256 == sha256_of(pack)
    details = {check.name: check.detail for check in whole.checks}
    assert "the same pixels" in details["edits re-made"] and "--seed 0" in details["edits re-made"]
    assert details["pictures re-scored"].startswith("all 12 rows")  # with oracle and source-copy


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(made, pack, tmp_path):
    moved = shutil.copytree(made, tmp_path / "elsewhere" / "other", copy_function=shutil.copy)
    (log,) = (moved / "records").glob("*.jsonl")
    first, *others = log.read_text().splitlines()
    log.with_name("20990101T000000-other-1-ab.0.jsonl").write_text("\n".join(reversed(others)) + "\n")
    log.write_text(first + "\n")
    again = pack_run(moved, tmp_path / "x.piebench.zip").file
    assert again.read_bytes() == pack.read_bytes()


def test_it_names_no_machine_and_no_folder_of_it(pack, bench):
    files = contents(pack)
    session = json.loads(files["sessions/0001.json"])
    assert "host" not in session and session["data_folder"] == "drawn"
    assert all("host" not in worker for worker in session["workers"].values())
    assert not any(str(bench.parent).encode() in content for content in files.values())


def test_its_card_is_a_dataset_card_with_the_table(pack):
    card = contents(pack)["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["pretty_name"] == "x" and "pie-bench" in front["tags"]
    assert "| p2p" in card and all(f"**{level.title}**" in card for level in Level)


def test_sums_are_those_that_sha256sum_checks(pack):
    files = contents(pack)
    lines = files.pop(CHECKSUMS_FILE).decode().splitlines()
    assert lines == [f"{sha256_of(files[name])}  {name}" for name in sorted(files)]


def test_scores_of_networks_hold_with_other_threads_and_batches(verify, made, metric_networks, tmp_path):
    networks = {role: getattr(metric_networks, role) for role in ("dino", "clip", "lpips_weights")}
    folder = shutil.copytree(made, tmp_path / "run")
    named = [option for role, name in networks.items() for option in (f"--{role.replace('_', '-')}", name)]
    columns = (
        "--metrics",
        "structure_distance,lpips_unedit_part,clip_similarity_target_image",
        "--device",
        "cpu",
        "--batch-size",
        1,
    )
    with with_threads(1):
        assert invoke("score", folder, *columns, *named).exit_code == 0
    pack = pack_run(folder, tmp_path / "x.piebench.zip").file
    with with_threads(2):
        checked = verify(pack, Rescoring(None, 0, networks, "cpu", batch_size=4))
    details = {check.name: check.detail for check in checked.checks}
    assert checked.level is Level.RESCORED
    assert any(tolerance.title in details["pictures re-scored"] for tolerance in TOLERANCES[:2])
    (unnamed,) = (check for check in verify(pack, ALL).checks if check.level is Level.RESCORED)
    assert unnamed.passed is None and "on another machine; name it here: --" in unnamed.detail


def test_pickles_are_read_of_networks_that_one_names_oneself():
    networks = {**MetricModels().to_dict(), "clip": "someone/clip"}
    table = SimpleNamespace(provenance={"networks": networks}, rows=pd.DataFrame(columns=["clip_whole"]))
    pack = SimpleNamespace(score_table=table)
    assert not _scoring(pack, {}, allow_pickle=False).allow_pickle
    with pytest.raises(PiebenchError, match="if you trust it: --clip someone/clip"):
        _scoring(pack, {}, allow_pickle=True)
    assert _scoring(pack, {"clip": "someone/clip"}, allow_pickle=True).allow_pickle


def test_without_pictures_their_checksums_go_along(verify, made, tmp_path):
    small = pack_run(made, tmp_path / "small.piebench.zip", pictures=False).file
    checked = verify(small, ALL, remake=2)
    assert not any(name.startswith("images/") for name in contents(small))
    details = {check.name: (check.passed, check.detail) for check in checked.checks}
    assert checked.level is Level.SCORES_GIVEN and not checked.failed
    assert details["pictures re-scored"] == (None, "the pictures are not in the pack")
    assert details["edits re-made"][0] is True  # by the checksums of their files


def changed_pixel(content):
    with Image.open(io.BytesIO(content)) as picture:
        pixels = np.array(picture)
    pixels[3, 3] ^= 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def pixel(files):
    name = next(name for name in files if name.startswith("images/"))
    return {name: changed_pixel(files[name])}


def score(files):
    head, first, *rest = files["scores.csv"].decode().splitlines()
    cells = first.split(",")
    cells[-1] = str(float(cells[-1]) / 2)
    return {"scores.csv": "\n".join([head, ",".join(cells), *rest, ""]).encode()}


def missing_picture(files):
    return {next(name for name in files if name.startswith("images/")): None}


def missing_score(files):
    return {"scores.csv": b"\n".join(files["scores.csv"].splitlines()[:-3]) + b"\n"}


def recipe(files):
    return {"recipe.yaml": files["recipe.yaml"].replace(b"steps: 4", b"steps: 5")}


def extra_file(files):
    return {"setup.py": b"print()"}


def extra_picture(files):
    name = next(name for name in files if name.startswith("images/"))
    return {"images/direct+p2p/more.png": files[name]}


def claim(files):
    def better(about):
        about["means"][0]["psnr"] += 1

    return {ABOUT_FILE: files_of_fields(files, ABOUT_FILE, better)}


def model(files):
    return {ABOUT_FILE: files_of_fields(files, ABOUT_FILE, lambda about: about.update(model="better/model"))}


def benchmark(files):
    def more(about):
        about["benchmark"]["samples"] = 700

    return {ABOUT_FILE: files_of_fields(files, ABOUT_FILE, more)}


def card(files):
    return {"README.md": files["README.md"].replace(b"# x", b"# the best")}


CHANGES = {
    pixel: ("pictures", "is not the picture of its record"),
    score: ("means", "and the scores give"),
    missing_picture: ("pictures", "is missing"),
    missing_score: ("scores", "has no scores"),
    recipe: ("parts", "is not the recipe"),
    extra_file: ("checksums", "setup.py belongs to no pack"),
    extra_picture: ("pictures", "has no record"),
    claim: ("means", "and the scores give"),
    model: ("claims", "another model"),
    benchmark: ("claims", "another benchmark"),
    card: ("card", "is not the card of these scores"),
}


@pytest.mark.parametrize("sums", ["old", "rewritten"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_found_also_when_its_checksum_was_too(verify, pack, tmp_path, change, sums):
    files = contents(pack)
    files = {name: content for name, content in {**files, **change(files)}.items() if content is not None}
    forged = tmp_path / "forged.piebench.zip"
    listed = files.pop(CHECKSUMS_FILE)
    if sums == "rewritten":
        write_archive(forged, files)
    else:
        with ZipFile(forged, "w", ZIP_STORED) as archive:
            for name, content in {**files, CHECKSUMS_FILE: listed}.items():
                archive.writestr(name, content)
    checked = verify(forged)
    name, words = CHANGES[change]
    assert words in found(checked)[name] and checked.level is Level.CLAIMED
    assert ("checksums" in found(checked)) == (sums == "old" or name == "checksums")


def without_models(files):
    return {"sessions/0001.json": files["sessions/0001.json"].replace(b'"models": {', b'"models": 5, "x": {')}


def nested(files):
    return {ABOUT_FILE: files[ABOUT_FILE].replace(b'"format": 1', b'"format": 1, "x": ' + b"[" * 10**5)}


def aliases(files):
    bomb = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    return {"recipe.yaml": f"a0: &a0 [1]\n{bomb}\n".encode() + files["recipe.yaml"]}


def other_place(files):
    records = files[RECORDS_FILE].replace(b'"file": "images/', b'"file": "../../images/')
    return {RECORDS_FILE: records}


def no_list(files):
    return {ABOUT_FILE: files[ABOUT_FILE].replace(b'"missing": {}', b'"missing": [1]')}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_models, "TypeError"),
        (nested, "RecursionError|missing or damaged"),
        (aliases, "has aliases"),
        (other_place, "is missing"),
        (no_list, "cannot be read"),
    ],
)
def test_hostile_files_are_failures_and_nothing_is_made_of_them(verify, pack, tmp_path, change, words):
    files = contents(pack)
    del files[CHECKSUMS_FILE]
    write_archive(tmp_path / "hostile.piebench.zip", files | change(files))
    checked = verify(tmp_path / "hostile.piebench.zip", ALL, remake=1)
    assert re.search(words, "; ".join(found(checked).values())) and checked.level is Level.CLAIMED
    assert {check.passed for check in checked.checks if check.level > Level.SCORES_GIVEN} == {None}


def test_a_pixel_whose_record_was_rewritten_too_is_found_by_scoring(verify, pack, tmp_path):
    files = contents(pack)
    ((name, content),) = pixel(files).items()
    entries = [json.loads(line) for line in files[RECORDS_FILE].splitlines()]
    for entry in entries:
        if entry["file"] == name:
            entry |= {"sha256": sha256_of(content), "bytes": len(content)}
    files |= {name: content, RECORDS_FILE: "".join(f"{json.dumps(each)}\n" for each in entries).encode()}
    del files[CHECKSUMS_FILE]
    write_archive(tmp_path / "forged.piebench.zip", files)
    assert not verify(tmp_path / "forged.piebench.zip").failed
    checked = verify(tmp_path / "forged.piebench.zip", ALL)
    assert list(found(checked)) == ["pictures re-scored"] and checked.level is Level.SCORES_GIVEN
    assert "in the pack" in found(checked)["pictures re-scored"]


def test_scores_that_were_changed_before_they_were_packed_are_found_by_scoring(verify, made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "run")
    (folder / "scores.csv").write_bytes(
        score({"scores.csv": (folder / "scores.csv").read_bytes()})["scores.csv"]
    )
    forged = pack_run(folder, tmp_path / "forged.piebench.zip").file
    assert verify(forged).level is Level.SCORES_GIVEN
    assert "mse" in found(verify(forged, ALL))["pictures re-scored"]


def test_a_recipe_that_was_swapped_everywhere_is_found_by_editing(verify, made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "run")
    swapped = (folder / "recipe.yaml").read_text().replace("seed: 1234", "seed: 99")
    (folder / "recipe.yaml").write_text(swapped)
    new = StoredRecipe.read(folder / "recipe.yaml").hash
    for name in ("manifest.json", "scores.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(
            text.replace(json.loads(text)["recipe_hash"], new).replace('"seed": 1234', '"seed": 99')
        )
    forged = pack_run(folder, tmp_path / "forged.piebench.zip").file
    assert verify(forged, ALL).level is Level.RESCORED
    checked = verify(forged, ALL, remake=3)
    assert "below 40" in found(checked)["edits re-made"] and checked.level is Level.RESCORED


def test_the_command_says_level_and_seed_and_ends_with_1_if_something_is_wrong(pack, bench, tmp_path):
    done = invoke("verify", pack, "--data", bench, "--sample", 2, "--device", "cpu", "--seed", 5)
    assert done.exit_code == 0 and "2 of 6 pictures, drawn with --seed 5: the same numbers" in done.output
    assert "Level 3 of 4: pictures re-scored" in done.output
    files = {name: content for name, content in contents(pack).items() if name != CHECKSUMS_FILE}
    write_archive(tmp_path / "y.piebench.zip", {**files, **score(files)})
    done = invoke("verify", tmp_path / "y.piebench.zip", "--sample", 0, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1 and told["level"] == "claimed" and told["failed"] == 2
    assert {each["result"] for each in told["checks"]} == {"ok", "failed"} and told["seed"] < 1_000_000


def test_a_terminal_obeys_nothing_in_a_pack(pack, tmp_path):
    files = {name: content for name, content in contents(pack).items() if name != CHECKSUMS_FILE}
    files[ABOUT_FILE] = files[ABOUT_FILE].replace(b'"format": 1,', b'"format": "\\u001b[31m\\n",')
    write_archive(tmp_path / "y.piebench.zip", files)
    done = invoke("verify", tmp_path / "y.piebench.zip", "--sample", 0)
    assert done.exit_code == 1 and "\\x1b[31m" in done.output and "\x1b[31m" not in done.output


def test_a_benchmark_that_is_not_at_hand_leaves_pictures_unscored(pack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (check,) = (check for check in verify_pack(pack, None, ALL).checks if check.level is Level.RESCORED)
    assert check.passed is None and "--data" in check.detail


def test_another_benchmark_is_not_the_packs(pack, photo_bench):
    checked = verify_pack(pack, photo_bench, ALL)
    assert "is not the data" in found(checked)["pictures re-scored"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: (run / "scores.csv").unlink(), "make it with piebench score"),
        (lambda run: next((run / "images").rglob("*.png")).unlink(), "score it again"),
        (
            lambda run: (file := next((run / "images").rglob("*.png"))).write_bytes(file.read_bytes()[::-1]),
            "is not the picture that the run made",
        ),
    ],
)
def test_runs_that_cannot_be_packed(made, tmp_path, spoil, words):
    folder = shutil.copytree(made, tmp_path / "run")
    spoil(folder)
    with pytest.raises(PiebenchError, match=words):
        pack_run(folder, tmp_path / "x.piebench.zip")
    with pytest.raises(PiebenchError, match=r"\.piebench\.zip"):
        pack_run(made, tmp_path / "x.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_level_needs_all_below_it():
    given, scored = Check("a", Level.SCORES_GIVEN, True, ""), Check("b", Level.RESCORED, None, "")
    assert reached([given, scored, Check("c", Level.REMADE, True, "")]) is Level.SCORES_GIVEN
    assert reached([Check("a", Level.SCORES_GIVEN, False, ""), scored]) is Level.CLAIMED


def test_tolerances_take_nan_and_infinity_for_what_they_are():
    nan, inf = float("nan"), float("inf")
    given = np.array([nan, inf, 20.0, 20.0, 600.0])
    for tolerance, held in zip(TOLERANCES, (0, 0.0009, 0.6), strict=True):
        assert tolerance.holds(given, given + np.array([0, 0, 0, 0, held])).all()
        assert not tolerance.holds(given[2:], given[2:] + 1).any()
        assert not tolerance.holds(given, np.array([1.0, 99.0, nan, inf, -inf])).any()


def test_metrics_of_pixels_vary_less_than_those_of_networks():
    given = np.array([2000.0])
    assert TOLERANCES[-1].holds(given, given + 1).all()
    assert WITHOUT_NETWORKS.holds(given, given + 0.02).all()
    assert not WITHOUT_NETWORKS.holds(given, given + 0.03).any()

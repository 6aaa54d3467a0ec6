"""What a run folder says of itself, whole or damaged."""

import json
import shutil

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.stored_recipe import StoredRecipe
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.records import EditKey, Outcome, RecordLog, failure, read_records
from piebench_eval.runs.store.session_log import SessionLog
from tests.support.fake_runner import fake_runner
from tests.support.runs import digests, recorded_edits, run


def edit_all(recipe, data, folder):
    return run(recipe, data, folder, make_runner=fake_runner())


@pytest.fixture(scope="module")
def finished(fake_recipe, photo_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    edit_all(fake_recipe, photo_bench, folder)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def scan(folder, samples):
    return RunStore.read(folder).scan(samples)


def first_picture(folder):
    return sorted((folder / "images").rglob("*.png"))[0]


def test_a_finished_run_misses_nothing(finished, samples):
    found = scan(finished, samples)
    assert len(found.done) == 8 and not (found.failed or found.missing or found.problems)


@pytest.mark.parametrize(
    ("size", "said"), [(0, "holds 0 bytes"), (100, "holds 100 bytes"), (None, "is gone")]
)
def test_a_torn_or_lost_picture_is_named_and_made_again(
    fake_recipe, photo_bench, finished, copy, samples, size, said
):
    picture = first_picture(copy)
    if size is None:
        picture.unlink()
    else:
        picture.write_bytes(picture.read_bytes()[:size])
    (problem,) = scan(copy, samples).problems
    assert str(picture) in problem and said in problem
    summary = edit_all(fake_recipe, photo_bench, copy)
    assert (summary.made, summary.found) == (1, 7) and summary.warnings == [problem]
    assert digests(copy) == digests(finished)
    assert not scan(copy, samples).problems


def test_a_picture_without_a_record_is_made_again(fake_recipe, photo_bench, finished, copy, samples):
    (log,) = (copy / "records").iterdir()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:50])
    torn, unknown = scan(copy, samples).problems
    assert f"{log}: a torn line" in torn and "has no record" in unknown
    assert edit_all(fake_recipe, photo_bench, copy).made == 1
    assert sorted(recorded_edits(copy)) == sorted(recorded_edits(finished))


def test_a_session_that_is_damaged_is_named(fake_recipe, photo_bench, copy):
    (session,) = (copy / "sessions").iterdir()
    session.write_text("{")
    first_picture(copy).unlink()
    with pytest.raises(PiebenchError, match=r"sessions.*\.json: missing or damaged"):
        edit_all(fake_recipe, photo_bench, copy)


def test_a_recipe_that_was_edited_is_refused(copy):
    recipe = copy / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 4", "steps: 5"))
    with pytest.raises(PiebenchError, match=r"recipe\.yaml: is not the recipe that manifest\.json names"):
        RunStore.read(copy)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1)), min_size=1, max_size=4))
def test_whatever_is_cut_off_is_redone_or_refused(
    fake_recipe, photo_bench, finished, samples, tmp_path_factory, cuts
):
    folder = tmp_path_factory.mktemp("cut") / "run"
    shutil.copytree(finished, folder)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for which, share in cuts:
        file = files[which % len(files)]
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
    try:
        summary = edit_all(fake_recipe, photo_bench, folder)
    except PiebenchError as error:
        assert str(folder) in str(error) and "another --out" not in str(error)
        return
    assert summary.made + summary.found == 8
    assert digests(folder) == digests(finished)
    found = scan(folder, samples)
    assert len(found.done) == 8 and not found.missing
    assert all("torn line" in problem for problem in found.problems)


KEY = EditKey("direct", "p2p", "1")


def test_of_several_records_the_one_that_fits_the_picture_counts(finished, copy, samples):
    key = EditKey("direct", "p2p", samples[0].id)
    log = RecordLog(copy / "records" / "other.jsonl")
    # Another shard made the same edit, in another batch: its picture was there first, its record came last.
    log.append([Outcome(key, {"finished": "2999-01-01T00:00:00.000+00:00", "bytes": 1})])
    assert scan(copy, samples).done[key] == scan(finished, samples).done[key]


def test_a_failure_counts_until_the_edit_is_made(tmp_path):
    log = RecordLog(tmp_path / "records" / "log.jsonl")
    log.append([failure(KEY, "too hard", "Traceback ...")])
    ledger = read_records(tmp_path)
    assert ledger.failed[KEY]["error"] == "too hard" and not ledger.made
    log.append([Outcome(KEY, {"finished": "2999", "bytes": 3})])
    assert list(read_records(tmp_path).made) == [KEY]


def test_records_that_are_something_else_are_passed_over(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "x.jsonl").write_bytes(b'[]\n{"id": 1}\n\xff\xfe\n\n')
    ledger = read_records(tmp_path)
    assert not ledger.made and "3 torn lines" in ledger.problems[0]


def about(samples=("1",)):
    return {"started": "now", "data_folder": "/data", "samples": list(samples)}


def test_sessions_add_up(fake_recipe, tmp_path):
    world = {"recipe_hash": fake_recipe.hash, "plugins": {}, "data": {"fingerprint": "f", "images": 2}}
    store = RunStore.create_or_resume(tmp_path, fake_recipe, world)
    SessionLog(tmp_path, "a", about(["1", "2"])).use_model("m", None, "weights")
    SessionLog(tmp_path, "b", about(["2", "3"])).use_model("m", "branch", "others")
    manifest = store.manifest()
    assert manifest["samples"] == ["1", "2", "3"]
    assert manifest["models"] == {"m": "weights", "m@branch": "others"}


def test_other_weights_in_another_session_are_refused(tmp_path):
    SessionLog(tmp_path, "a", about()).use_model("m", None, "weights")
    with pytest.raises(PiebenchError, match="the files of the model m changed"):
        SessionLog(tmp_path, "b", about()).use_model("m", None, "other weights")


def test_of_two_that_begin_at_once_one_recipe_wins(fake_recipe, tmp_path):
    world = {"recipe_hash": fake_recipe.hash, "plugins": {}, "data": {"fingerprint": "f", "images": 2}}
    RunStore.create_or_resume(tmp_path, fake_recipe, world)
    other = fake_recipe.model_copy(update={"steps": 7})
    with pytest.raises(PiebenchError, match="steps: 4 -> 7"):
        RunStore.create_or_resume(tmp_path, other, {**world, "recipe_hash": other.hash})
    assert RunStore.read(tmp_path).recipe == fake_recipe.stored
    with pytest.raises(PiebenchError, match="the benchmark folder changed"):
        RunStore.create_or_resume(tmp_path, fake_recipe, {**world, "data": {"fingerprint": "g", "images": 2}})


def test_the_manifest_names_its_format(copy):
    manifest = copy / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(PiebenchError, match="folder format 99"):
        RunStore.read(copy)


def test_a_run_of_before_quirks_were_a_section_is_read_and_not_gone_on_with(
    fake_recipe, photo_bench, copy, samples
):
    """Its recipe has them among other settings; its manifest has the hash of that recipe."""
    fields = yaml.safe_load((copy / "recipe.yaml").read_text())
    fields["pixel_overflow"] = fields.pop("quirks")["pixel_overflow"]
    (copy / "recipe.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["recipe_hash"] = StoredRecipe(fields).hash
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert len(scan(copy, samples).done) == 8
    assert RunStore.read(copy).recipe.settings("ddim", "p2p")["quirks.pixel_overflow"] == "clamp"
    with pytest.raises(PiebenchError, match=r"recipe\.yaml: has no section quirks.*choose another --out"):
        edit_all(fake_recipe, photo_bench, copy)

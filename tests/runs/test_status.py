"""How far a run is, as others see it."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.status import CombinationStatus, status_of_run
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.folder import RunStore
from tests.support.fake_runner import fake_runner
from tests.support.runs import run


@pytest.fixture
def folder(fake_recipe, photo_bench, samples, tmp_path):
    runner = fake_runner(fails=(samples[0].id,))
    run(fake_recipe, photo_bench, tmp_path / "run", Selection(limit=3), make_runner=runner)
    return tmp_path / "run"


def status(folder, **options):
    store = RunStore.read(folder)
    return status_of_run(store, dataset_of_run(store)[1], **options)


def test_edits_are_counted_by_combination(folder):
    next((folder / "images" / "direct+p2p").rglob("*.png")).unlink()
    found = status(folder)
    assert found.parts == [CombinationStatus("ddim+p2p", 2, 1, 0), CombinationStatus("direct+p2p", 1, 1, 1)]
    assert found.missing == 1 and len(found.problems) == 1
    assert [failure["inversion"] for failure in found.failures] == ["ddim", "direct"]
    assert "Traceback" in found.failures[0]["traceback"]


def spread(folder, seconds):
    """Let a run's records have been finished so many seconds apart, the newest at noon."""
    (log,) = (folder / "records").glob("*.0.jsonl")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    for place, entry in enumerate(reversed(entries)):
        entry["finished"] = (noon - timedelta(seconds=seconds * place)).isoformat(timespec="milliseconds")
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return noon


def test_pace_and_time_left_are_those_of_the_last_minutes(folder):
    (folder / "images" / "direct+p2p" / "1_change_object_80").rename(folder / "elsewhere")
    noon = spread(folder, seconds=6)
    found = status(folder, now=noon + timedelta(minutes=1))
    # Three edits that are still there, six and twelve seconds apart: two failed ones lie between.
    assert found.per_minute is not None and 3 < found.per_minute < 11
    assert found.seconds_left == pytest.approx(found.missing / found.per_minute * 60)
    later = status(folder, now=noon + timedelta(hours=1))
    assert later.seconds_left is None and later.newest == "2030-01-01T12:00:00+00:00"


SECONDS, SIZE = 40, 8


@pytest.fixture(scope="module")
def forty(tmp_path_factory):
    """A finished run of 40 samples."""
    recipe = build_recipe(
        select_combinations(read_recipe_fields(DEMO_RECIPE), ["ddim", "direct"], ["p2p"], "demo"), {}, "demo"
    )
    folder = tmp_path_factory.mktemp("forty") / "run"
    run(recipe, None, folder, make_runner=fake_runner())
    return folder


@pytest.fixture
def batches(forty, tmp_path):
    """Write the log of a worker that has edited so many batches of 8 in 40 seconds each."""
    folder = shutil.copytree(forty, tmp_path / "run")
    (log,) = (folder / "records").glob("*.0.jsonl")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    entries = [entry for entry in entries if entry["inversion"] == "ddim"]
    log.unlink()
    for picture in (folder / "images" / "direct+p2p").rglob("*.png"):
        picture.unlink()
    (session_file,) = (folder / "sessions").glob("*.json")
    session = json.loads(session_file.read_text())
    session_file.unlink()
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def write(count, name="s1", worker="0", start=0.0, skip=0, workers=1, shard="0/1", **more):
        about = {**session, "shard": shard, "workers": {str(number): {} for number in range(workers)}, **more}
        (folder / "sessions" / f"{name}.json").write_text(json.dumps(about))
        lines = []
        for place, entry in enumerate(entries[skip : skip + SIZE * count]):
            late = start + SECONDS * (place // SIZE + 1) + 0.002 * (place % SIZE)
            entry["finished"] = (noon + timedelta(seconds=late)).isoformat(timespec="milliseconds")
            lines.append(json.dumps({**entry, "seconds": SECONDS / SIZE, "batch_size": SIZE}) + "\n")
        (folder / "records" / f"{name}.{worker}.jsonl").write_text("".join(lines))
        return noon + timedelta(seconds=start + SECONDS * count)

    return folder, write


@pytest.mark.parametrize("count", [1, 2, 4])
def test_batches_of_8_every_40_seconds_are_12_edits_a_minute(batches, count):
    folder, write = batches
    found = status(folder, now=write(count))
    assert found.missing == 80 - SIZE * count
    assert found.per_minute == pytest.approx(12, rel=0.01)
    assert found.seconds_left == pytest.approx(found.missing * SECONDS / SIZE, rel=0.01)


def test_two_workers_and_two_shards_add_up(batches):
    folder, write = batches
    write(1, workers=2)
    assert status(folder, now=write(1, workers=2)).per_minute == pytest.approx(24, rel=0.01)
    now = write(1, worker="1", start=3, skip=8, workers=2)
    assert status(folder, now=now).per_minute == pytest.approx(24, rel=0.01)
    now = write(2, name="s2", skip=16, shard="1/2")
    found = status(folder, now=now)
    assert found.per_minute == pytest.approx(36, rel=0.01)
    assert found.seconds_left == pytest.approx(found.missing / 36 * 60, rel=0.01)


def test_a_resumed_run_goes_by_its_last_session(batches):
    folder, write = batches
    write(2)
    found = status(folder, now=write(1, name="s2", start=600, skip=16))
    assert found.per_minute == pytest.approx(12, rel=0.01)
    assert found.seconds_left == pytest.approx(found.missing * SECONDS / SIZE, rel=0.01)


def test_combinations_without_an_edit_cost_what_a_session_has_counted(batches):
    folder, write = batches
    # An edit's record says 6 rows.
    now = write(1, planned_rows={"ddim+p2p": 5.0, "direct+p2p": 60.0})
    assert status(folder, now=now).seconds_left == pytest.approx((32 + 40 * 10) * SECONDS / SIZE, rel=0.01)


def test_a_run_without_edits_has_no_pace(fake_recipe, photo_bench, samples, tmp_path):
    everyone = fake_runner(fails=[sample.id for sample in samples])
    run(fake_recipe, photo_bench, tmp_path / "run", make_runner=everyone)
    found = status(tmp_path / "run")
    assert (found.per_minute, found.seconds_left, found.newest) == (None, None, None)


def test_foreign_files_are_named_and_files_being_written_are_not(folder):
    foreign = folder / "images" / "direct+p2p" / "mine.png"
    foreign.touch()
    (folder / "images" / ".a.png.host.1.partial").touch()
    (problem,) = status(folder).problems
    assert problem.startswith(f"{foreign}: belongs to no edit")


def test_a_picture_with_another_content_is_found_when_asked(folder):
    picture = next((folder / "images").rglob("*.png"))
    content = bytearray(picture.read_bytes())
    content[-20] ^= 1
    picture.write_bytes(content)
    assert status(folder).problems == []
    (problem,) = status(folder, verify=True).problems
    assert problem.startswith(f"{picture}: is not what its record says")


def test_a_run_folder_that_was_moved_knows_its_own_benchmark(tmp_path):
    recipe = build_recipe(
        select_combinations(read_recipe_fields(DEMO_RECIPE), ["direct"], ["p2p"], "demo"), {}, "demo"
    )
    run(recipe, None, tmp_path / "here", Selection(limit=1), make_runner=fake_runner())
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert status(tmp_path / "there").parts == [CombinationStatus("direct+p2p", 1, 0, 0)]

"""How far a run is, as others see it."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from piebench_eval.runs.dataset import dataset_of_run
from piebench_eval.runs.session import Selection
from piebench_eval.runs.status import Part, status_of_run
from piebench_eval.runs.store import RunStore
from tests.support.fake_editor import fake_editor
from tests.support.runs import run


@pytest.fixture
def folder(fake_recipe, photo_bench, samples, tmp_path):
    editor = fake_editor(fails=(samples[0].id,))
    run(fake_recipe, photo_bench, tmp_path / "run", Selection(limit=3), make_editor=editor)
    return tmp_path / "run"


def status(folder, **options):
    store = RunStore.read(folder)
    return status_of_run(store, dataset_of_run(store)[1], **options)


def test_edits_are_counted_by_combination(folder):
    next((folder / "images" / "direct+p2p").rglob("*.png")).unlink()
    found = status(folder)
    assert found.parts == [Part("ddim+p2p", 2, 1, 0), Part("direct+p2p", 1, 1, 1)]
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


def test_a_run_without_edits_has_no_pace(fake_recipe, photo_bench, samples, tmp_path):
    everyone = fake_editor(fails=[sample.id for sample in samples])
    run(fake_recipe, photo_bench, tmp_path / "run", make_editor=everyone)
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
    from piebench_eval.demo.embedded import RECIPE
    from piebench_eval.runs.recipe import build_recipe, narrow, read_recipe_fields

    recipe = build_recipe(narrow(read_recipe_fields(RECIPE), ["direct"], ["p2p"], "demo"), {}, "demo")
    run(recipe, None, tmp_path / "here", Selection(limit=1), make_editor=fake_editor())
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert status(tmp_path / "there").parts == [Part("direct+p2p", 1, 0, 0)]

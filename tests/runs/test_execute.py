"""A session's books: failures, shards, orders of work, disks that fill up."""

import errno
import os

import pytest

from piebench_eval import files
from piebench_eval.errors import PiebenchError
from piebench_eval.runs import execute
from piebench_eval.runs.engines.base import WorkersSilent
from piebench_eval.runs.engines.choice import choose_engine
from piebench_eval.runs.engines.in_process import InProcessEngine
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.shard import Shard
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.session_log import read_sessions
from tests.support.fake_runner import fake_runner
from tests.support.runs import digests, recorded_edits, run


@pytest.fixture
def edit(fake_recipe, photo_bench, tmp_path):
    def edit(
        folder="run",
        selection=None,
        shard=None,
        batch_size=None,
        retry_failed=False,
        max_failures=20,
        **behaviour,
    ):
        return run(
            fake_recipe,
            photo_bench,
            tmp_path / folder,
            selection,
            shard=shard,
            batch_size=batch_size,
            retry_failed=retry_failed,
            max_failures=max_failures,
            make_runner=fake_runner(**behaviour),
        )

    return edit


def test_a_failed_sample_is_recorded_and_the_rest_goes_on(edit, samples, tmp_path):
    bad = samples[1].id
    first = edit(fails=(bad,))
    assert (first.made, first.found) == (6, 0)
    assert first.failed == {
        f"{name} {bad}": f"ValueError: {bad} cannot be edited" for name in ("ddim+p2p", "direct+p2p")
    }
    scan = RunStore.read(tmp_path / "run").scan(samples)
    assert len(scan.failed) == 2 and not scan.missing
    assert all("Traceback" in record["traceback"] for record in scan.failed.values())


def test_failures_are_retried_only_when_asked(edit, samples, tmp_path):
    edit(fails=(samples[1].id,))
    again = edit()
    assert (again.made, again.found) == (0, 6) and len(again.failed) == 2
    retried = edit(retry_failed=True)
    assert (retried.made, retried.found, retried.failed) == (2, 6, {})
    edit("whole")
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")
    assert edit().failed == {}


def test_too_many_failures_stop_the_session_and_keep_the_rest(edit, samples, tmp_path):
    bad = [sample.id for sample in samples[:2]]
    with pytest.raises(PiebenchError, match=r"after 2 failed edits \(--max-failures 1\).*cannot be edited"):
        edit(fails=bad, max_failures=1)
    scan = RunStore.read(tmp_path / "run").scan(samples)
    assert (len(scan.failed), len(scan.missing)) == (2, 6)
    # What failed is not tried again, so that the run goes on where it stopped.
    assert edit(fails=bad, max_failures=2).made == 4


def test_shards_share_a_folder_and_make_the_whole(edit, tmp_path):
    edit("whole")
    found = [edit("run", shard=Shard(index, 3)) for index in range(3)]
    assert [summary.made for summary in found] == [4, 2, 2]
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")
    assert len(set(recorded_edits(tmp_path / "run"))) == len(recorded_edits(tmp_path / "run")) == 8
    assert edit("run").found == 8


def test_shards_of_different_batch_sizes_make_the_whole(edit, tmp_path):
    edit("whole")
    found = [edit("run", shard=Shard(index, 2), batch_size=size) for index, size in enumerate((2, 1))]
    assert [summary.made for summary in found] == [4, 4]
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")
    sessions = read_sessions(tmp_path / "run")
    assert {(session["shard"], session["shard_block"]) for session in sessions} == {("0/2", 2), ("1/2", 2)}


def test_another_number_of_shards_goes_on_in_the_same_folder(edit, tmp_path):
    edit("whole")
    edit("run", shard=Shard(1, 2), batch_size=2)
    found = [edit("run", shard=Shard(index, 3), batch_size=index + 1) for index in range(3)]
    assert sum(summary.made for summary in found) == 4
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")
    assert len(set(recorded_edits(tmp_path / "run"))) == len(recorded_edits(tmp_path / "run")) == 8


def test_a_later_selection_widens_the_run(edit, tmp_path):
    assert edit(selection=Selection(limit=1)).made == 2
    assert edit(selection=Selection(limit=3)).made == 4
    assert len(RunStore.read(tmp_path / "run").manifest()["samples"]) == 3


def test_progress_counts_what_was_found(edit):
    edit(selection=Selection(limit=2))
    told = edit().reports
    assert (told[0].done, told[0].total) == (4, 8) and (told[-1].done, told[-1].total) == (8, 8)
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)


def test_silent_workers_are_reported_as_silent(edit, monkeypatch):
    class SilentAtFirst(InProcessEngine):
        def run(self, queue):
            yield WorkersSilent("no answer yet")
            yield from super().run(queue)

    def choose(plan, session, devices):
        return SilentAtFirst(choose_engine(plan, session, devices)._spec, plan.recipe)

    monkeypatch.setattr(execute, "choose_engine", choose)
    summary = edit()
    assert summary.made == 8 and summary.warnings == ["no answer yet"]


def test_nothing_is_loaded_for_a_finished_run(edit, fake_recipe, photo_bench, tmp_path):
    edit()

    def no_runner(spec, recipe):
        raise AssertionError("loaded")

    summary = run(fake_recipe, photo_bench, tmp_path / "run", make_runner=no_runner)
    assert (summary.made, summary.found) == (0, 8) and summary.reports[-1].label == "nothing to do"


@pytest.mark.parametrize("trouble", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_gives_one_error_and_loses_nothing(edit, samples, tmp_path, monkeypatch, trouble):
    synced, fsync = [], os.fsync

    def full_after_a_while(descriptor):
        synced.append(descriptor)
        if len(synced) > 12:
            raise OSError(trouble, os.strerror(trouble))
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", full_after_a_while)
    with pytest.raises(PiebenchError, match=rf"{os.strerror(trouble)}.*run the same command again"):
        edit()
    monkeypatch.undo()
    done = len(RunStore.read(tmp_path / "run").scan(samples).done)
    assert 0 < done < 8 and not list(tmp_path.rglob("*.partial"))
    resumed = edit()
    assert (resumed.found, resumed.made) == (done, 8 - done)
    edit("whole")
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_gives_one_error(edit, tmp_path):
    edit(selection=Selection(limit=1))
    (tmp_path / "run" / "images").chmod(0o555)
    with pytest.raises(PiebenchError, match="Permission denied"):
        edit()
    (tmp_path / "run" / "images").chmod(0o755)


def test_a_plan_is_always_in_the_same_order(fake_recipe, photo_bench, tmp_path):
    orders = []
    for name in ("one", "two"):
        log = tmp_path / name
        run(fake_recipe, photo_bench, log, make_runner=fake_runner())
        orders.append(recorded_edits(log))
    assert orders[0] == orders[1]
    plan = plan_run(fake_recipe, photo_bench, tmp_path / "three", Selection())
    expected = [(*pair, sample.id) for sample in plan.samples for pair in fake_recipe.pairs]
    assert orders[0] == expected

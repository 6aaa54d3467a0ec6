"""Worker processes: the same pictures, whatever happens to the processes."""

import os
import signal
import threading
import time

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.runs import worker as worker_module
from piebench_eval.runs.queue import MAX_ATTEMPTS
from piebench_eval.runs.store.session_log import read_sessions
from tests.support.fake_runner import FakeRunner, fake_runner
from tests.support.runs import digests, recorded_edits, run


@pytest.fixture(scope="module")
def undisturbed(fake_recipe, photo_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    run(fake_recipe, photo_bench, folder, make_runner=fake_runner())
    return digests(folder)


@pytest.mark.parametrize(("count", "batch_size"), [(2, None), (3, 2)])
def test_processes_make_what_one_makes(fake_recipe, photo_bench, undisturbed, tmp_path, count, batch_size):
    out = tmp_path / "run"
    summary = run(
        fake_recipe, photo_bench, out, workers=count, batch_size=batch_size, make_runner=fake_runner()
    )
    assert (summary.made, summary.found, summary.failed) == (8, 0, {})
    assert digests(out) == undisturbed
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8
    (session,) = read_sessions(out)
    assert session["engine"] == f"local, {count} processes"
    pids = {worker["pid"] for worker in session["workers"].values()}
    assert os.getpid() not in pids


def kill_a_worker(folder, after):
    """Kill a worker that has recorded edits, once so many images are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(list(folder.rglob("images/*/*/*.png"))) >= after and (sessions := read_sessions(folder)):
            for name, worker in sessions[-1]["workers"].items():
                if list(folder.glob(f"records/*.{name}*.jsonl")):
                    os.kill(worker["pid"], signal.SIGKILL)
                    return
        time.sleep(0.01)


def test_a_killed_worker_is_replaced(fake_recipe, photo_bench, undisturbed, tmp_path):
    out = tmp_path / "run"
    killer = threading.Thread(target=kill_a_worker, args=(out, 1))
    killer.start()
    summary = run(fake_recipe, photo_bench, out, workers=2, make_runner=fake_runner(seconds=0.2))
    killer.join()
    assert (summary.made, summary.failed) == (8, {})
    (warning,) = summary.warnings
    assert "killed by SIGKILL" in warning and "another takes its place" in warning
    assert digests(out) == undisturbed
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8
    assert not list(out.rglob("*.partial"))


def test_an_edit_that_kills_its_workers_fails_and_the_rest_is_made(
    fake_recipe, photo_bench, samples, tmp_path
):
    out, deadly = tmp_path / "run", samples[1].id
    # Two places: the deaths of one edit's workers alternate between them or not, and no place is given up.
    summary = run(fake_recipe, photo_bench, out, workers=2, make_runner=fake_runner(kills=(deadly,)))
    assert summary.made == 6
    assert set(summary.failed) == {f"ddim+p2p {deadly}", f"direct+p2p {deadly}"}
    assert all(f"{MAX_ATTEMPTS} workers died" in error for error in summary.failed.values())
    again = run(fake_recipe, photo_bench, out, make_runner=fake_runner(), retry_failed=True)
    assert (again.made, again.found, again.failed) == (2, 6, {})


def no_worker(spec, recipe):
    os._exit(3)


def test_a_place_where_every_worker_dies_is_left(fake_recipe, photo_bench, tmp_path):
    with pytest.raises(PiebenchError, match=r"exit code 3, 3 times in a row, and no worker is left"):
        run(fake_recipe, photo_bench, tmp_path / "run", workers=2, make_runner=no_worker)
    assert not (tmp_path / "run").exists()


def bad_model(spec, recipe):
    raise PiebenchError("--model x: cannot be loaded")


def test_what_no_worker_can_do_is_said_once(fake_recipe, photo_bench, tmp_path):
    with pytest.raises(PiebenchError, match=r"^--model x: cannot be loaded$"):
        run(fake_recipe, photo_bench, tmp_path / "run", workers=2, make_runner=bad_model)
    assert not (tmp_path / "run").exists()


class SavedBehind(FakeRunner):
    """The first worker to edit saves its first picture only once it edits the second, or raises."""

    def __init__(self, spec, recipe):
        super().__init__(capacity=1000)
        self.first, self.second, encode = spec.out / "first", threading.Event(), worker_module.encode_image

        def wait_and_encode(image, image_format):
            if not self.second.wait(timeout=60):
                raise PiebenchError("the second batch waits for the first to be saved")
            return encode(image, image_format)

        worker_module.encode_image = wait_and_encode

    def edit(self, combination, samples):
        try:
            if not self.batches:
                self.first.touch(exist_ok=False)
        except FileExistsError:  # a worker that came later, to which no second batch may be left
            self.second.set()
        if self.batches:
            self.second.set()
        return super().edit(combination, samples)


def test_on_a_gpu_a_batch_is_saved_while_the_next_job_is_edited(
    fake_recipe, photo_bench, undisturbed, tmp_path
):
    summary = run(
        fake_recipe, photo_bench, tmp_path / "run", workers=2, batch_size=1, make_runner=SavedBehind
    )
    assert (summary.made, summary.failed, summary.warnings) == (8, {}, [])
    assert digests(tmp_path / "run") == undisturbed
    assert len(recorded_edits(tmp_path / "run")) == 8


class KilledWhileSaving(FakeRunner):
    """The worker of the CPU dies in its second edit, while it saves its first; the others wait for it."""

    def __init__(self, spec, recipe):
        super().__init__(capacity=1000)
        self.once = spec.out / "died"
        self.dies = spec.device == "cpu" and not self.once.exists()
        if self.dies:
            worker_module.encode_image = lambda image, image_format: time.sleep(60)

    def edit(self, combination, samples):
        if self.batches and self.dies:
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.dies:
            wait_for(self.once)
        return super().edit(combination, samples)


def wait_for(file, seconds=60):
    end = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.02)


def test_what_a_dead_worker_had_not_saved_is_made_again(fake_recipe, photo_bench, undisturbed, tmp_path):
    out = tmp_path / "run"
    devices = "cpu,cuda:0"  # two processes; the runner uses neither
    summary = run(fake_recipe, photo_bench, out, devices=devices, batch_size=1, make_runner=KilledWhileSaving)
    assert (summary.made, summary.failed) == (8, {}) and summary.warnings
    assert digests(out) == undisturbed
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8


def test_a_gpus_error_ends_its_process_and_is_told(fake_recipe, photo_bench, samples, tmp_path, capfd):
    bad = samples[1].id
    runner = fake_runner(spoils=(bad,))
    summary = run(fake_recipe, photo_bench, tmp_path / "run", workers=2, batch_size=1, make_runner=runner)
    assert summary.made == 6 and set(summary.failed) == {f"ddim+p2p {bad}", f"direct+p2p {bad}"}
    assert all("device-side assert" in error for error in summary.failed.values())
    assert "Traceback" not in capfd.readouterr().err

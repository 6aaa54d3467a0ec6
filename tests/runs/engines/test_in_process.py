"""One process, one device: what is saved while something else is edited."""

import threading

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.runs import worker as worker_module
from piebench_eval.runs.store.folder import RunStore
from tests.support.fake_runner import FakeRunner, fake_runner
from tests.support.runs import digests, recorded_edits, run

GPU = 1000
"""Bytes of memory: a runner that has any is on a GPU."""


class Watched(FakeRunner):
    """Tells when an edit begins, and can end the session in one."""

    begun = threading.Event()
    interrupts_at = None

    def edit(self, combination, samples):
        if len(self.batches) == 1:
            self.begun.set()
        if len(self.batches) == self.interrupts_at:
            raise KeyboardInterrupt
        return super().edit(combination, samples)


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(Watched, "begun", threading.Event())
    return lambda spec, recipe: Watched(capacity=GPU)


@pytest.fixture
def slow_to_encode(monkeypatch):
    """The first picture is encoded only once the second batch is being edited; tells whether it was."""
    seen, encode = [], worker_module.encode_image

    def wait_and_encode(image, image_format):
        seen.append(Watched.begun.wait(timeout=0.5 if seen else 20))
        return encode(image, image_format)

    monkeypatch.setattr(worker_module, "encode_image", wait_and_encode)
    return seen


def test_on_a_gpu_a_batch_is_saved_while_the_next_is_edited(
    fake_recipe, photo_bench, tmp_path, watched, slow_to_encode
):
    summary = run(fake_recipe, photo_bench, tmp_path / "run", batch_size=4, make_runner=watched)
    assert slow_to_encode[0], "the second batch began before the first was saved"
    assert (summary.made, summary.failed) == (8, {}) and len(recorded_edits(tmp_path / "run")) == 8


def test_on_a_cpu_it_is_saved_first(fake_recipe, photo_bench, tmp_path):
    saved_before = []

    class OnCPU(FakeRunner):
        def edit(self, combination, samples):
            saved_before.append(len(digests(tmp_path)))
            return super().edit(combination, samples)

    run(fake_recipe, photo_bench, tmp_path, batch_size=4, make_runner=lambda spec, recipe: OnCPU())
    assert saved_before == [0, 4]


def test_an_interrupt_keeps_what_has_been_edited(
    fake_recipe, photo_bench, samples, tmp_path, watched, monkeypatch
):
    monkeypatch.setattr(Watched, "interrupts_at", 1)
    with pytest.raises(KeyboardInterrupt):
        run(fake_recipe, photo_bench, tmp_path, batch_size=4, make_runner=watched)
    assert len(digests(tmp_path)) == len(recorded_edits(tmp_path)) == 4
    assert not RunStore.read(tmp_path).scan(samples).problems
    monkeypatch.setattr(Watched, "interrupts_at", None)
    again = run(fake_recipe, photo_bench, tmp_path, batch_size=4, make_runner=watched)
    assert (again.made, again.found) == (4, 4)


def test_a_gpus_error_is_recorded_and_the_next_start_goes_on(fake_recipe, photo_bench, samples, tmp_path):
    def edit(**options):
        return run(fake_recipe, photo_bench, tmp_path / "run", batch_size=1, **options)

    bad = samples[1].id
    broken = fake_runner(spoils=(bad,), capacity=GPU)
    with pytest.raises(PiebenchError) as stopped:
        edit(make_runner=broken)
    said = str(stopped.value)
    assert "device-side assert" in said and "For debugging" not in said
    assert f"ddim+p2p of {bad} is recorded as failed" in said and "same command again" in said
    scan = RunStore.read(tmp_path / "run").scan(samples)
    (failed,) = scan.failed.items()
    assert failed[0] == ("ddim", "p2p", bad) and "Traceback" in failed[1]["traceback"]
    assert len(scan.done) == 2, "what was edited before is kept"
    # The same sample by the other combination is as bad; the third start meets neither.
    with pytest.raises(PiebenchError, match=rf"direct\+p2p of {bad}"):
        edit(make_runner=broken)
    summary = edit(make_runner=broken)
    assert summary.made + summary.found == 6 and len(summary.failed) == 2


def test_a_batch_of_a_gpus_error_is_made_again_one_by_one(fake_recipe, photo_bench, samples, tmp_path):
    def edit(batch_size, runner, **options):
        out = tmp_path / "run"
        return run(fake_recipe, photo_bench, out, batch_size=batch_size, make_runner=runner, **options)

    bad = samples[0].id
    broken = fake_runner(spoils=(bad,), capacity=GPU)
    for _ in fake_recipe.pairs:
        with pytest.raises(PiebenchError, match="--retry-failed --batch-size 1"):
            edit(4, broken)
    assert len(RunStore.read(tmp_path / "run").scan(samples).failed) == 8
    # Every start meets one bad edit, and does not meet it again before all others are made.
    made = []
    for _ in range(3):
        with pytest.raises(PiebenchError, match=f"of {bad} is recorded"):
            edit(1, broken, retry_failed=True)
        made.append(len(RunStore.read(tmp_path / "run").scan(samples).done))
    assert made[-1] == 6
    assert edit(1, fake_runner(), retry_failed=True).failed == {}


def no_gpu(spec, recipe):
    raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nFor debugging ...")


def test_a_gpu_that_cannot_be_used_is_one_plain_error(fake_recipe, photo_bench, tmp_path):
    with pytest.raises(PiebenchError, match=r"^--devices cpu: CUDA error: all .* unavailable; see what else"):
        run(fake_recipe, photo_bench, tmp_path / "run", make_runner=no_gpu)


def test_a_picture_that_cannot_be_saved_ends_the_session(
    fake_recipe, photo_bench, tmp_path, watched, monkeypatch
):
    def full(self, outcomes, image_paths, log):
        raise PiebenchError("the disk is full")

    monkeypatch.setattr(RunStore, "save", full)
    with pytest.raises(PiebenchError, match="the disk is full"):
        run(fake_recipe, photo_bench, tmp_path, batch_size=1, make_runner=watched)

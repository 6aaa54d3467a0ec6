"""One process, one device: what is saved while something else is edited."""

import threading

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.runs import worker as worker_module
from piebench_eval.runs.store import RunStore
from tests.support.fake_editor import FakeEditor
from tests.support.runs import digests, recorded_edits, run

GPU = 1000
"""Bytes of memory: an editor that has any is on a GPU."""


class Watched(FakeEditor):
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
    summary = run(fake_recipe, photo_bench, tmp_path / "run", batch_size=4, make_editor=watched)
    assert slow_to_encode[0], "the second batch began before the first was saved"
    assert (summary.made, summary.failed) == (8, {}) and len(recorded_edits(tmp_path / "run")) == 8


def test_on_a_cpu_it_is_saved_first(fake_recipe, photo_bench, tmp_path):
    saved_before = []

    class OnCPU(FakeEditor):
        def edit(self, combination, samples):
            saved_before.append(len(digests(tmp_path)))
            return super().edit(combination, samples)

    run(fake_recipe, photo_bench, tmp_path, batch_size=4, make_editor=lambda spec, recipe: OnCPU())
    assert saved_before == [0, 4]


def test_an_interrupt_keeps_what_has_been_edited(
    fake_recipe, photo_bench, samples, tmp_path, watched, monkeypatch
):
    monkeypatch.setattr(Watched, "interrupts_at", 1)
    with pytest.raises(KeyboardInterrupt):
        run(fake_recipe, photo_bench, tmp_path, batch_size=4, make_editor=watched)
    assert len(digests(tmp_path)) == len(recorded_edits(tmp_path)) == 4
    assert not RunStore.read(tmp_path).scan(samples).problems
    monkeypatch.setattr(Watched, "interrupts_at", None)
    again = run(fake_recipe, photo_bench, tmp_path, batch_size=4, make_editor=watched)
    assert (again.made, again.found) == (4, 4)


def test_a_picture_that_cannot_be_saved_ends_the_session(
    fake_recipe, photo_bench, tmp_path, watched, monkeypatch
):
    def full(self, outcomes, image_paths, log):
        raise PiebenchError("the disk is full")

    monkeypatch.setattr(RunStore, "keep", full)
    with pytest.raises(PiebenchError, match="the disk is full"):
        run(fake_recipe, photo_bench, tmp_path, batch_size=1, make_editor=watched)

"""What a worker makes of jobs that go wrong."""

import weakref
from dataclasses import replace
from threading import Event

import pytest
import torch

from piebench_eval.diffusion.feature_store import FeatureOutOfMemoryError
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.jobs import plan_jobs
from piebench_eval.runs.machine import MachineOptions, WorkerSpec
from piebench_eval.runs.store.records import read_records
from piebench_eval.runs.worker import DeviceUnusableError, Worker
from tests.support import fake_runner as fake_runner_module
from tests.support.fake_runner import fake_runner


def worker_spec(make_runner, out=None, largest=4, grows=False):
    machine = MachineOptions(batch_size=None if grows else largest, make_runner=make_runner)
    return WorkerSpec(machine, "cpu", None, largest, out, "s")


def worker_of(recipe, out, largest=4, grows=False, **behaviour):
    return Worker(worker_spec(fake_runner(**behaviour), out, largest, grows), recipe, "w")


def outcomes(worker, group):
    return [outcome for job in group.jobs for outcome in worker.run(group.model, job)]


@pytest.fixture
def group(fake_recipe, samples):
    (group,) = plan_jobs(fake_recipe, samples, batch_size=4)
    return group


def batches(worker):
    return [len(ids) for _, ids in worker.runner.batches]


def test_a_batch_is_made_and_kept_at_once(fake_recipe, group, tmp_path):
    worker = worker_of(fake_recipe, tmp_path)
    made = outcomes(worker, group)
    assert batches(worker) == [4, 4] and len(made) == 8 and not any(outcome.failed for outcome in made)
    assert all(outcome.image is None and outcome.record["bytes"] > 0 for outcome in made)
    assert set(read_records(tmp_path).made) == {outcome.key for outcome in made}
    assert len(list(tmp_path.rglob("*.png"))) == 8


def test_without_a_run_folder_the_pictures_travel(fake_recipe, group):
    assert all(outcome.image[:4] == b"\x89PNG" for outcome in outcomes(worker_of(fake_recipe, None), group))


def test_out_of_memory_halves_the_batch_and_loses_nothing(fake_recipe, group, tmp_path):
    worker = worker_of(fake_recipe, tmp_path, fits=1)
    made = outcomes(worker, group)
    assert len(made) == 8 and not any(outcome.failed for outcome in made)
    # Four, two and one once per combination; then one by one.
    assert batches(worker) == [4, 2, 1, 1, 1, 1] * 2


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: out of memory",
    ],
)
def test_out_of_memory_has_several_names(fake_recipe, group, tmp_path, monkeypatch, message):
    monkeypatch.setattr(fake_runner_module, "OutOfMemoryError", lambda text: RuntimeError(message))
    worker = worker_of(fake_recipe, tmp_path, fits=2)
    assert not any(outcome.failed for outcome in outcomes(worker, group))
    assert batches(worker) == [4, 2, 2] * 2


def test_a_failed_batch_is_collected_before_the_next(fake_recipe, group, tmp_path, monkeypatch):
    worker, emptied = worker_of(fake_recipe, tmp_path, fits=2), []
    edit, held = worker.runner.edit, []

    class Tensor:
        """What an edit holds; in a cycle of references, as autograd's graphs may be."""

        def __init__(self):
            self.itself = self

    def watched_edit(combination, samples):
        assert all(reference() is None for reference in held)
        assert len(emptied) == len(held)
        tensor = Tensor()
        if len(samples) > 2:
            held.append(weakref.ref(tensor))
        return edit(combination, samples)

    monkeypatch.setattr(worker.runner, "edit", watched_edit)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(held[-1]() is None))
    assert len(outcomes(worker, group)) == 8
    assert emptied == [True, True], "once per combination, and nothing was held any more"


def test_what_does_not_fit_alone_fails_and_says_so(fake_recipe, group, tmp_path):
    made = outcomes(worker_of(fake_recipe, tmp_path, fits=0), group)
    assert len(made) == 8
    assert all("does not fit into the memory of nowhere" in outcome.record["error"] for outcome in made)


def test_features_without_room_say_so_themselves(fake_recipe, group, tmp_path, monkeypatch):
    """They may lack the host's memory, not the device's; batches are halved all the same."""
    worker, tried = worker_of(fake_recipe, tmp_path), []

    def edit(combination, samples):
        tried.append(len(samples))
        raise FeatureOutOfMemoryError("the inversion's features need more")

    monkeypatch.setattr(worker.runner, "edit", edit)
    assert {outcome.record["error"] for outcome in outcomes(worker, group)} == {
        "the inversion's features need more"
    }
    assert tried[:3] == [4, 2, 1]


def test_one_bad_sample_fails_alone(fake_recipe, group, samples, tmp_path):
    bad = samples[2].id
    made = outcomes(worker_of(fake_recipe, tmp_path, fails=(bad,)), group)
    failed = [outcome for outcome in made if outcome.failed]
    assert [outcome.key.sample for outcome in failed] == [bad, bad] and len(made) == 8
    assert failed[0].record["error"] == f"ValueError: {bad} cannot be edited"
    assert "fake_runner.py" in failed[0].record["traceback"]


def test_a_batch_grows_where_the_device_says_how_much_fits(fake_recipe, group, tmp_path):
    # 10 bytes at rest and 10 per sample: 2 fit into 40 bytes, and 4 would not.
    worker = worker_of(fake_recipe, tmp_path, largest=4, grows=True, capacity=40)
    assert len(outcomes(worker, group)) == 8
    assert batches(worker) == [1, 2, 1] * 2


def test_a_batch_is_made_whole_but_only_what_is_wanted_is_kept(fake_recipe, group, samples, tmp_path):
    worker = worker_of(fake_recipe, tmp_path)
    finished = {job.key(sample.id) for job in group.jobs for sample in samples[1:]}
    made = outcomes(worker, group.without(finished))
    assert {outcome.key.sample for outcome in made} == {samples[0].id}
    assert batches(worker) == [4, 4]


def test_shared_work_is_forgotten_when_the_batch_changes(fake_recipe, samples, tmp_path):
    worker = worker_of(fake_recipe, tmp_path)
    for group in plan_jobs(fake_recipe, samples, batch_size=2):
        outcomes(worker, group)
    assert worker.runner.cleared == 2 and len(worker.runner.models) == 1


def test_the_targets_of_one_picture_share_their_work_from_batch_to_batch(fake_recipe, samples, tmp_path):
    first, second, third = (replace(samples[0], id=str(place)) for place in range(3))
    other_prompt = replace(first, id="other", marked_source_prompt="another prompt")
    worker = worker_of(fake_recipe, tmp_path)
    cleared = []
    for batch in ((first,), (second, third), (other_prompt,), (samples[1],), (samples[1], first)):
        (group,) = plan_jobs(fake_recipe, batch, batch_size=2)
        outcomes(worker, group)
        cleared.append(worker.runner.cleared)
    assert cleared == [0, 0, 1, 2, 3]


def test_an_error_that_spoils_the_process_ends_it(fake_recipe, group, tmp_path, monkeypatch):
    worker = worker_of(fake_recipe, tmp_path)

    def broken(combination, samples):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(worker.runner, "edit", broken)
    with pytest.raises(RuntimeError, match="device-side"):
        outcomes(worker, group)
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_folder_that_cannot_be_written_ends_the_work(fake_recipe, group, tmp_path):
    (tmp_path / "images").touch()
    with pytest.raises(PiebenchError, match="cannot be written"):
        outcomes(worker_of(fake_recipe, tmp_path), group)


def test_the_next_samples_are_read_meanwhile(fake_recipe, group, samples, tmp_path):
    worker = worker_of(fake_recipe, tmp_path)
    list(worker.run(group.model, group.jobs[0], tuple(samples[:1])))
    assert worker.runner.prefetched == [(*group.jobs[0].samples, samples[0])]


@pytest.mark.parametrize(("capacity", "overlaps"), [(None, False), (10**9, True)])
def test_on_a_gpu_a_batch_is_saved_while_the_next_is_edited(fake_recipe, group, tmp_path, capacity, overlaps):
    worker = worker_of(fake_recipe, tmp_path, largest=2, capacity=capacity)
    edited = [len(worker.runner.batches) for _ in worker.run(group.model, group.jobs[0])]
    assert edited == ([2, 2, 2, 2] if overlaps else [1, 1, 2, 2])


def test_what_is_being_saved_is_saved_before_a_process_ends(fake_recipe, group, tmp_path, monkeypatch):
    spoils = (group.jobs[0].samples[2].id,)
    worker = worker_of(fake_recipe, tmp_path, largest=2, capacity=10**9, spoils=spoils)
    save, begun = worker._store.save, Event()

    def slow(*given):
        begun.wait(0.2)
        return save(*given)

    monkeypatch.setattr(worker._store, "save", slow)
    with pytest.raises(DeviceUnusableError):
        list(worker.run(group.model, group.jobs[0]))
    assert len(list(tmp_path.rglob("*.png"))) == 2

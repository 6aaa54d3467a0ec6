"""A worker makes the edits of its jobs and saves them; a sample that fails costs only itself."""

from __future__ import annotations

import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import encode_image
from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import (
    first_line,
    is_out_of_memory,
    makes_device_unusable,
    release_memory,
)
from piebench_eval.runs.engines.batching import BatchSizer
from piebench_eval.runs.model_runner import ModelRunner
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.records import Outcome, RecordLog, failure, now
from piebench_eval.runs.store.session_log import log_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, ModelSpec
    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.runner import EditResult


class DeviceUnusableError(RuntimeError):
    """An error in a CUDA kernel: this process can no longer use its device, a new one can.

    Attributes:
        job: the job that was running.
        failures: its edits, as failures that are not saved yet.
    """

    def __init__(self, device: str, job: Job, failures: list[Outcome], cause: Exception):
        super().__init__(f"{device} can no longer be used by this process ({first_line(cause)})")
        self.job, self.failures = job, failures


class Worker:
    """Makes edits on one device, and saves them.

    Attributes:
        runner: edits the batches.
    """

    def __init__(self, spec: WorkerSpec, recipe: Recipe, name: str):
        self.runner = (spec.machine.make_runner or ModelRunner)(spec, recipe)
        self._name, self._device = name, spec.device
        self._combinations = {pair: recipe.combination(*pair) for pair in recipe.pairs}
        self._image_format = recipe.image_format
        features = {need.combination: need.largest_batch for need in spec.features}
        fitting = {name: size for name, size in features.items() if size is not None}
        self._sizer = BatchSizer(spec.largest_batch, spec.machine.batch_size is None, fitting)
        self._store = RunStore(spec.out, recipe) if spec.out else None
        self._log = RecordLog(log_file(spec.out, spec.session, name)) if spec.out else None
        self._model: ModelSpec | None = None
        self._fingerprint: str | None = None
        self._samples: tuple[Sample, ...] = ()
        # One thread: the log has one writer.
        self._saver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saver")

    @property
    def batches_in_saving(self) -> int:
        """Batches that are still being saved while the next one is edited: one on a GPU.

        On a CPU, editing and saving would share the cores, and each edit would be reported late.
        """
        return 0 if self.runner.capacity is None else 1

    def load(self, model: ModelSpec) -> str | None:
        """Load a model unless it is loaded, and return its fingerprint.

        Raises:
            PiebenchError: it cannot be loaded.
        """
        if model != self._model:
            self._model = None
            self._fingerprint = self.runner.load(model)
            self._model = model
        return self._fingerprint

    def run(self, model: ModelSpec, job: Job, next_samples: tuple[Sample, ...] = ()) -> Iterator[Outcome]:
        """Make a job's edits, in batches as large as fit, each saved while the next one is edited.

        A batch that does not fit into memory is halved; one that fails is tried again sample by sample.

        Args:
            model: the model of the job.
            job: the job.
            next_samples: samples of the next job, whose images are read meanwhile.

        Yields:
            The outcome of each wanted edit, saved already if the worker has a run folder.

        Raises:
            PiebenchError: the model cannot be loaded, or the run folder cannot be written to.
            DeviceUnusableError: this process can no longer use its device.
        """
        saving: deque[Future[list[Outcome]]] = deque()
        try:
            for batch in self.begin(model, job, next_samples):
                saving.append(batch)
                while len(saving) > self.batches_in_saving:
                    yield from saving.popleft().result()
        finally:
            wait(saving)  # also where the next batch ends this process
        for batch in saving:
            yield from batch.result()

    def begin(
        self, model: ModelSpec, job: Job, next_samples: tuple[Sample, ...] = ()
    ) -> Iterator[Future[list[Outcome]]]:
        """Make a job's edits as ``run`` does, and save each batch while the next one is made.

        Yields:
            For each batch, in the order in which they are saved, the outcomes of its wanted edits.
        """
        self.load(model)
        if job.samples != self._samples:
            # Of one source a batch inverts one row, however many targets it has: each finds its own bits.
            if len({sample.source for sample in self._samples + job.samples}) > 1:
                self.runner.clear_cache()
            self._samples = job.samples
        self.runner.prefetch((*job.samples, *next_samples))
        waiting = deque([job.samples])
        while waiting:
            samples = waiting.popleft()
            if len(samples) > (size := self._sizer.size(job.name)):
                waiting.appendleft(samples[size:])
                samples = samples[:size]
            if not any(sample.id in job.wanted for sample in samples):
                continue
            edits, failures, parts = self._attempt(job, samples)
            if not edits:
                release_memory()
            waiting.extendleft(reversed(parts))
            wanted = [edit for edit in edits if edit.sample.id in job.wanted]
            execution = {"batch_size": len(samples), "device": self.runner.about["device"]}
            yield self._saver.submit(self._save, job, wanted, execution, failures)

    def save_failures(self, error: DeviceUnusableError) -> Future[list[Outcome]]:
        """Save the edits of a job that ended with an unusable device as failures."""
        return self._saver.submit(self._save, error.job, (), {}, error.failures)

    def close(self) -> None:
        """Wait until everything is saved."""
        self._saver.shutdown()

    def _attempt(
        self, job: Job, samples: tuple[Sample, ...]
    ) -> tuple[Sequence[EditResult], list[Outcome], list[tuple[Sample, ...]]]:
        """Edit a batch.

        Returns:
            The edits; or a failure; or the parts in which the batch has to be tried again.
        """
        try:
            edits = self.runner.edit(self._combinations[job.inversion, job.method], samples)
        except Exception as error:
            if makes_device_unusable(error):
                wanted = [sample for sample in samples if sample.id in job.wanted]
                failures = [self._failure(job, sample, error) for sample in wanted]
                raise DeviceUnusableError(self._device, job, failures, error) from None
            if len(samples) == 1:
                return [], [self._failure(job, samples[0], error)], []
            if not is_out_of_memory(error):
                return [], [], [(sample,) for sample in samples]
            self._sizer.overflowed(job.name, len(samples))
            return [], [], [samples[: len(samples) // 2], samples[len(samples) // 2 :]]
        peak = max(edit.peak_memory for edit in edits)
        self._sizer.fitted(job.name, len(samples), self.runner.weights_bytes, peak, self.runner.capacity)
        return edits, [], []

    def _failure(self, job: Job, sample: Sample, error: Exception) -> Outcome:
        text = str(error) if isinstance(error, PiebenchError) else f"{type(error).__name__}: {error}"
        if is_out_of_memory(error) and not isinstance(error, PiebenchError):
            text = f"does not fit into the memory of {self.runner.about['device']} even by itself ({text})"
        elif makes_device_unusable(error):
            text = first_line(error)
        return failure(job.key(sample.id), text, "".join(traceback.format_exception(error)))

    def _save(
        self, job: Job, edits: Sequence[EditResult], execution: dict[str, Any], failures: Sequence[Outcome]
    ) -> list[Outcome]:
        """Encode and save a batch, in the thread of the saver."""
        outcomes = [
            Outcome(
                job.key(edit.sample.id),
                {"finished": now(), "resolution": edit.resolution, **edit.costs(), **execution},
                encode_image(edit.image, self._image_format),
                self._name,
            )
            for edit in edits
        ]
        outcomes += failures
        if self._store is None or self._log is None:
            return outcomes
        paths = {sample.id: sample.image_path for sample in job.samples}
        return self._store.save(outcomes, paths, self._log)

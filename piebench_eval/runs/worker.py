"""A worker: it makes the edits of the jobs that it is given, whatever happens to single samples."""

from __future__ import annotations

import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from piebench_eval.data.images import encode_image
from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import (
    first_line,
    is_out_of_memory,
    release_memory,
    spoils_the_process,
)
from piebench_eval.runs.engines.batching import BatchSizer
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.records import Outcome, RecordLog, failure, now
from piebench_eval.runs.store.session_log import log_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, Model
    from piebench_eval.runs.result import EditResult


class Editor(Protocol):
    """What a worker edits with, see ``runs.runner.ModelEditor``."""

    @property
    def about(self) -> dict[str, Any]:
        """The device and its machine, for the session's file."""
        ...

    @property
    def capacity(self) -> int | None:
        """Bytes of a GPU's memory that this process may have now; None elsewhere."""
        ...

    @property
    def resting(self) -> int:
        """Bytes of it that the weights take."""
        ...

    def load(self, model: Model) -> str | None:
        """Load a model in place of the one before, and tell its fingerprint."""
        ...

    def edit(self, combination: Combination, samples: Sequence[Sample]) -> Sequence[EditResult]:
        """Edit a batch."""
        ...

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Learn which samples may be read while others are edited."""
        ...

    def forget(self) -> None:
        """Drop what the combinations of a batch share."""
        ...


@dataclass(frozen=True)
class WorkerSpec:
    """Everything that a worker needs to know; it can be sent to another process.

    Attributes:
        device: where to work.
        threads: threads of arithmetic on a CPU; None leaves them as they are.
        largest_batch: samples per batch at most.
        batch_grows: whether to find the batch size out.
        allow_pickle: load weights from pickle files.
        cache: folder for what combinations and runs share.
        compile: compile the UNet's blocks.
        checkpointing: recompute activations in backward passes.
        deterministic: see ``models.loading.uses_deterministic_layers``.
        out: the run folder; None lets the pictures travel back with the outcomes.
        session: name of the session.
        make_editor: makes the editor: a function of a module, called in the worker's process.
    """

    device: str
    threads: int | None
    largest_batch: int
    batch_grows: bool
    allow_pickle: bool
    cache: Path | None
    compile: bool
    checkpointing: bool
    deterministic: bool | None
    out: Path | None
    session: str
    make_editor: Callable[[WorkerSpec, Recipe], Editor]


class SpoiltProcess(RuntimeError):
    """An error in a CUDA kernel: this process can use its device no longer, another one can.

    Attributes:
        job: what it was at.
        failures: the edits that it was making, as failures; none of them is saved.
    """

    def __init__(self, device: str, job: Job, failures: list[Outcome], cause: Exception):
        super().__init__(f"{device} is of no use to this process any more ({first_line(cause)})")
        self.job, self.failures = job, failures


class Worker:
    """Makes edits on one device, and saves them.

    Attributes:
        editor: what it edits with.
    """

    def __init__(self, spec: WorkerSpec, recipe: Recipe, name: str):
        self.editor = spec.make_editor(spec, recipe)
        self._name, self._device = name, spec.device
        self._combinations = {pair: recipe.combination(*pair) for pair in recipe.pairs}
        self._image_format = recipe.image_format
        self._sizer = BatchSizer(spec.largest_batch, spec.batch_grows)
        self._store = RunStore(spec.out, recipe) if spec.out else None
        self._log = RecordLog(log_file(spec.out, spec.session, name)) if spec.out else None
        self._model: Model | None = None
        self._fingerprint: str | None = None
        self._samples: tuple[Sample, ...] = ()
        # One thread: the log has one writer.
        self._saver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saver")

    @property
    def batches_behind(self) -> int:
        """Batches that may still be saved while the next one is edited: one on a GPU.

        On a CPU, editing and saving would share the cores, and the user would hear of each edit late.
        """
        return 0 if self.editor.capacity is None else 1

    def load(self, model: Model) -> str | None:
        """Have a model ready, and tell its fingerprint.

        Raises:
            PiebenchError: it cannot be loaded.
        """
        if model != self._model:
            self._model = None
            self._fingerprint = self.editor.load(model)
            self._model = model
        return self._fingerprint

    def run(self, model: Model, job: Job, next_samples: tuple[Sample, ...] = ()) -> Iterator[Outcome]:
        """Make a job's edits, in batches as large as fit.

        A batch that does not fit into memory is halved; one that fails is tried again sample by sample, so
        that one bad sample costs itself alone.

        Args:
            model: what they are made with.
            job: what is to be made.
            next_samples: those of the job that comes next, to be read meanwhile.

        Yields:
            What became of each wanted edit; it is saved by then, unless the worker has no run folder.

        Raises:
            PiebenchError: the model cannot be loaded, or the run folder cannot be written to.
            SpoiltProcess: the process can make no more edits.
        """
        for saved in self.begin(model, job, next_samples):
            yield from saved.result()

    def begin(
        self, model: Model, job: Job, next_samples: tuple[Sample, ...] = ()
    ) -> Iterator[Future[list[Outcome]]]:
        """Make a job's edits as ``run`` does, and save each batch while the next one is made.

        Yields:
            For each batch, in the order in which they are saved, what will have become of its wanted edits.
        """
        self.load(model)
        if job.samples != self._samples:
            self.editor.forget()
            self._samples = job.samples
        self.editor.prepare((*job.samples, *next_samples))
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
            where = {"batch_size": len(samples), "device": self.editor.about["device"]}
            yield self._saver.submit(self._keep, job, wanted, where, failures)

    def record(self, spoilt: SpoiltProcess) -> Future[list[Outcome]]:
        """Save as failures what this process was making when it became useless.

        Returns:
            What will have become of these edits, once that is saved.
        """
        return self._saver.submit(self._keep, spoilt.job, (), {}, spoilt.failures)

    def close(self) -> None:
        """Wait until everything is saved."""
        self._saver.shutdown()

    def _attempt(
        self, job: Job, samples: tuple[Sample, ...]
    ) -> tuple[Sequence[EditResult], list[Outcome], list[tuple[Sample, ...]]]:
        """Edit a batch: the edits, or a failure, or the parts in which it has to be tried again."""
        try:
            edits = self.editor.edit(self._combinations[job.inversion, job.method], samples)
        except Exception as error:
            if spoils_the_process(error):
                wanted = [sample for sample in samples if sample.id in job.wanted]
                failures = [self._failure(job, sample, error) for sample in wanted]
                raise SpoiltProcess(self._device, job, failures, error) from None
            if len(samples) == 1:
                return [], [self._failure(job, samples[0], error)], []
            if not is_out_of_memory(error):
                return [], [], [(sample,) for sample in samples]
            self._sizer.overflowed(job.name, len(samples))
            return [], [], [samples[: len(samples) // 2], samples[len(samples) // 2 :]]
        peak = max(edit.peak_memory for edit in edits)
        self._sizer.fitted(job.name, len(samples), self.editor.resting, peak, self.editor.capacity)
        return edits, [], []

    def _failure(self, job: Job, sample: Sample, error: Exception) -> Outcome:
        text = str(error) if isinstance(error, PiebenchError) else f"{type(error).__name__}: {error}"
        if is_out_of_memory(error):
            text = f"does not fit into the memory of {self.editor.about['device']} even by itself ({text})"
        elif spoils_the_process(error):
            text = first_line(error)
        return failure(job.key(sample.id), text, "".join(traceback.format_exception(error)))

    def _keep(
        self, job: Job, edits: Sequence[EditResult], where: dict[str, Any], failures: Sequence[Outcome]
    ) -> list[Outcome]:
        """Encode and save a batch, in the saver's thread."""
        outcomes = [
            Outcome(
                job.key(edit.sample.id),
                {"finished": now(), **edit.costs(), **where},
                encode_image(edit.image, self._image_format),
                self._name,
            )
            for edit in edits
        ]
        outcomes += failures
        if self._store is None or self._log is None:
            return outcomes
        paths = {sample.id: sample.image_path for sample in job.samples}
        return self._store.keep(outcomes, paths, self._log)

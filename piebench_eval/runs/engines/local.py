"""The local engine: one process, one device, one batch after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.edit import EditResult, edit_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from piebench_eval.backbone.backbone import Backbone
    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.plan import Job
    from piebench_eval.runs.store import RunStore


@dataclass(frozen=True)
class Progress:
    """One finished edit.

    Attributes:
        job: the batch that it belonged to.
        sample: what was edited.
        result: the edit, or None if an earlier session had made it.
    """

    job: Job
    sample: Sample
    result: EditResult | None


def run_jobs(backbone: Backbone, jobs: Sequence[Job], store: RunStore) -> Iterator[Progress]:
    """Work through jobs of one model, saving every edit as soon as it is there; finished edits are skipped.

    Yields:
        Each edit of each job, those found finished included.
    """
    batch: tuple[Sample, ...] = ()
    for job in jobs:
        if job.samples != batch and backbone.memory is not None:
            backbone.memory.forget()
        batch = job.samples
        pair = job.combination.inversion, job.combination.method
        missing = [sample for sample in batch if not store.is_done(*pair, sample)]
        done = {sample.id for sample in batch} - {sample.id for sample in missing}
        yield from (Progress(job, sample, None) for sample in batch if sample.id in done)
        if not missing:
            continue
        # The whole batch, finished edits included: its composition decides the last bits of its pictures.
        for result in _edit_within_memory(backbone, job):
            if result.sample.id not in done:
                record = edit_record(result, len(batch))
                store.save_edit(*pair, result.sample, result.image, record)
                yield Progress(job, result.sample, result)


def _edit_within_memory(backbone: Backbone, job: Job) -> list[EditResult]:
    try:
        return edit_batch(backbone, job)
    except torch.OutOfMemoryError as error:
        raise PiebenchError(
            f"{backbone.device}: out of memory with {len(job.samples)} samples per batch; lower --batch-size "
            "and run again, finished edits are kept"
        ) from error


def edit_record(result: EditResult, batch_size: int) -> dict[str, object]:
    """What is kept of an edit besides its picture."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(result.seconds, 4),
        "unet_rows_forward": result.unet_forward,
        "unet_rows_backward": result.unet_backward,
        "unet_rows_reused": result.unet_reused,
        "peak_memory_bytes": result.peak_memory,
        "batch_size": batch_size,
        "notes": result.notes,
    }

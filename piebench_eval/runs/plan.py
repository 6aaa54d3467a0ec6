"""The plan of a run: recipe x samples, in batches, always in the same order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.errors import DataError
from piebench_eval.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One batch of samples, edited by one combination.

    Attributes:
        inversion: name of the inversion.
        method: name of the editing method.
        samples: the samples of the batch.
    """

    inversion: str
    method: str
    samples: tuple[Sample, ...]


def plan_jobs(recipe: Recipe, samples: Sequence[Sample], batch_size: int) -> list[Job]:
    """Cut the samples into batches and pair each with every combination.

    Batches depend on the samples and the batch size alone, never on what is already done: a batch that a
    crash cut short is computed again as the same batch, so its pictures come out bit for bit the same.

    Raises:
        DataError: samples that a method cannot edit with its settings.
    """
    problems = [
        f"id {sample.id}: method {name}: {problem}"
        for name, settings in recipe.methods.items()
        for sample in samples
        if (problem := METHODS.get(name).problem(sample, settings))
    ]
    if problems:
        raise DataError(problems)
    batches = [tuple(samples[start : start + batch_size]) for start in range(0, len(samples), batch_size)]
    return [Job(inversion, method, batch) for batch in batches for inversion, method in recipe.combinations]

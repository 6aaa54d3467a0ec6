"""The plan of a run: recipe x samples, in batches, always in the same order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.errors import DataError
from piebench_eval.methods import METHODS
from piebench_eval.runs.plugins import blamed_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.combination import Combination
    from piebench_eval.runs.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One batch of samples, edited by one combination.

    Attributes:
        combination: the inversion, the method and their settings.
        samples: the samples of the batch.
    """

    combination: Combination
    samples: tuple[Sample, ...]


def plan_jobs(recipe: Recipe, samples: Sequence[Sample], batch_size: int) -> list[Job]:
    """Cut the samples into batches and pair each with every combination.

    Batches depend on the samples and the batch size alone, never on what is already done: a batch that a
    crash cut short is computed again as the same batch, so its pictures come out bit for bit the same.
    The combinations of one model come together, and within them those of one batch, which share work.

    Raises:
        DataError: samples that a method cannot edit with its settings.
    """
    combinations = [recipe.combination(*pair) for pair in recipe.pairs]
    problems = [problem for combination in combinations for problem in _problems(combination, samples)]
    if problems:
        raise DataError(list(dict.fromkeys(problems)))
    batches = [tuple(samples[start : start + batch_size]) for start in range(0, len(samples), batch_size)]
    return [
        Job(combination, batch)
        for model in dict.fromkeys(model_of(combination) for combination in combinations)
        for batch in batches
        for combination in combinations
        if model_of(combination) == model
    ]


def _problems(combination: Combination, samples: Sequence[Sample]) -> list[str]:
    method = METHODS.get(combination.method)
    with blamed_plugins(combination.inversion, combination.method):
        return [
            f"id {sample.id}: method {combination.method}: {problem}"
            for sample in samples
            if (problem := method.problem(sample, combination.method_settings))
        ]


def model_of(combination: Combination) -> tuple[str, str | None, str]:
    """What has to be loaded for a combination: model, revision and precision."""
    common = combination.common
    return common.model, common.revision, common.precision

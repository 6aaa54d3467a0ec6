"""The jobs of a run: batches of samples by combinations, always in the same order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from piebench_eval.combination_names import combination_name
from piebench_eval.editors import EDITORS
from piebench_eval.editors.sample_needs import unmet_needs
from piebench_eval.errors import DataError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.recipes.plugins import plugin_errors
from piebench_eval.runs.shard import BLOCK, Shard
from piebench_eval.runs.store.records import EditKey

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.recipes.recipe import Recipe


class ModelSpec(NamedTuple):
    """The model that a combination needs: what ``load_model`` is called with.

    Attributes:
        editor: the editor that loads it itself, if one does; ``load_model`` is not called then.
    """

    name: str
    revision: str | None
    precision: str
    family: str = "auto"
    clip_length: int | None = None
    t5_length: int | None = None
    weights: str = "full"
    editor: str = ""


@dataclass(frozen=True)
class Job:
    """One batch of samples, edited by one combination: what a worker is given at a time.

    Attributes:
        inversion: name of the inversion; empty for an editor.
        method: name of the editing method, or of the editor.
        samples: the samples of the batch. All of them are computed, finished or not: a batch's composition
            decides the last bits of its pictures.
        wanted: ids of those whose edits are to be kept.
    """

    inversion: str
    method: str
    samples: tuple[Sample, ...]
    wanted: frozenset[str]

    @property
    def name(self) -> str:
        """Name of the combination: ``direct+p2p``, ``sdedit``."""
        return combination_name(self.inversion, self.method)

    def key(self, sample_id: str) -> EditKey:
        """The key of one of its edits."""
        return EditKey(self.inversion, self.method, sample_id)

    def without(self, finished: Container[EditKey]) -> Job | None:
        """The rest of the job without finished edits; None if all are finished."""
        wanted = frozenset(sample for sample in self.wanted if self.key(sample) not in finished)
        return replace(self, wanted=wanted) if wanted else None


@dataclass(frozen=True)
class JobGroup:
    """The jobs of one batch by all combinations of a model. They share inversions: best done by one worker.

    Attributes:
        model: the model of all of them.
        jobs: one per combination.
    """

    model: ModelSpec
    jobs: tuple[Job, ...]

    def without(self, finished: Container[EditKey]) -> JobGroup | None:
        """The rest of the group without finished edits; None if all are finished."""
        left = tuple(rest for job in self.jobs if (rest := job.without(finished)) is not None)
        return replace(self, jobs=left) if left else None


def plan_jobs(
    recipe: Recipe, samples: Sequence[Sample], batch_size: int, shard: Shard | None = None
) -> list[JobGroup]:
    """Plan the jobs of a shard: cut its samples into batches, and pair each with every combination.

    Batches depend on the samples and the batch size, never on what is already done or by which worker: a
    batch that a crash cut short is computed again as the same batch, and gives the same images bit for bit.
    They stay inside the shard's blocks, and depend on the number of shards only where it makes blocks
    smaller; batches larger than a block are cut from all of the shard's samples. The combinations of one
    model come together, and within them those of one batch.

    Args:
        recipe: the recipe of the run.
        samples: the samples of the whole run.
        batch_size: samples per batch at most.
        shard: the part that is planned; the whole run by default.
    """
    combinations = [recipe.combination(*pair) for pair in recipe.pairs]
    blocks = (shard or Shard()).blocks(samples)
    if batch_size > BLOCK:
        blocks = [[sample for block in blocks for sample in block]]
    batches = [
        tuple(block[start : start + batch_size])
        for block in blocks
        for start in range(0, len(block), batch_size)
    ]
    wanted_ids = [frozenset(sample.id for sample in batch) for batch in batches]
    return [
        JobGroup(
            model,
            tuple(
                Job(combination.inversion, combination.method, batch, wanted)
                for combination in combinations
                if model_spec(combination) == model
            ),
        )
        for model in model_specs(recipe)
        for batch, wanted in zip(batches, wanted_ids, strict=True)
    ]


def check_edits(recipe: Recipe, samples: Iterable[Sample]) -> None:
    """Check that every method and every editor can edit every sample with its settings.

    Raises:
        DataError: says what editors need that samples lack, and lists the samples that one cannot edit.
    """
    combinations = [recipe.combination(*pair) for pair in recipe.pairs]
    samples = list(samples)
    problems = [
        *_unmet_needs(combinations, samples),
        *(problem for combination in combinations for problem in _problems(combination, samples)),
    ]
    if problems:
        raise DataError(list(dict.fromkeys(problems)))


def _unmet_needs(combinations: Iterable[Combination], samples: Sequence[Sample]) -> list[str]:
    """What the samples lack that editors need, a line for those that need the same."""
    names_of: dict[str, list[str]] = {}
    for combination in combinations:
        if combination.is_editor:
            editor = EDITORS.get(combination.method).with_settings(combination.editor_settings)
            for line in unmet_needs(editor, combination.common, samples):
                names_of.setdefault(line, []).append(combination.name)
    return [f"{', '.join(names)}: {line}" for line, names in names_of.items()]


def _problems(combination: Combination, samples: Sequence[Sample]) -> list[str]:
    entry: Any
    if combination.is_editor:
        kind, entry, settings = "editor", EDITORS.get(combination.method), combination.editor_settings
    else:
        kind, entry, settings = "method", METHODS.get(combination.method), combination.method_settings
    with plugin_errors(combination.inversion, combination.method):
        return [
            f"id {sample.id}: {kind} {combination.method}: {problem}"
            for sample in samples
            if (problem := entry.problem(sample, settings))
        ]


def model_spec(combination: Combination) -> ModelSpec:
    """The model of a combination."""
    common = combination.common
    return ModelSpec(
        common.model,
        common.revision,
        common.precision,
        common.family,
        common.clip_length,
        common.t5_length,
        common.weights,
        combination.method if combination.loads_itself else "",
    )


def image_encoders(combinations: Iterable[Combination]) -> list[str]:
    """The CLIP image encoders that inversions of combinations read pictures by."""
    names = [
        getattr(combination.inversion_settings, "image_encoder", None)
        for combination in combinations
        # A plugin's setting of that name is its own.
        if not combination.is_editor and INVERSIONS.is_own(combination.inversion)
    ]
    return list(dict.fromkeys(filter(None, names)))


def model_specs(recipe: Recipe) -> list[ModelSpec]:
    """The models that a recipe's combinations need."""
    return list(dict.fromkeys(model_spec(recipe.combination(*pair)) for pair in recipe.pairs))


def package_models(recipe: Recipe) -> list[ModelSpec]:
    """Those of them that the package loads."""
    return [model for model in model_specs(recipe) if not model.editor]

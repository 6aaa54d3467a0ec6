"""One session of a run: check everything that is cheap to check, then load the model and work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.backbone.location import check_device_name, check_model_location, model_fingerprint
from piebench_eval.bench.pie_bench import load_pie_bench
from piebench_eval.bench.select import select_samples
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.plan import model_of, plan_jobs
from piebench_eval.runs.store import BENCHMARK_FOLDER, RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    import torch

    from piebench_eval.backbone.backbone import Backbone
    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.engines.local import Progress
    from piebench_eval.runs.recipe import Recipe

DEFAULT_BATCH = {"cpu": 1, "mps": 1, "cuda": 4}
"""Samples per batch where the user names no number; on a CPU larger batches gain nothing."""


@dataclass(frozen=True)
class Selection:
    """Which samples to edit; None selects all.

    Attributes:
        types: editing types.
        ids: sample ids.
        limit: how many at most, in turns over the types.
    """

    types: Collection[str] | None = None
    ids: Collection[str] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class RunPlan:
    """A run that has passed every check that needs no model.

    Attributes:
        recipe: how pictures are edited.
        data: the benchmark folder.
        out: the run folder.
        dataset: all samples of the benchmark.
        samples: those that will be edited.
        device: where to work: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch_size: samples per batch; None chooses by device.
        allow_pickle: load weights from pickle files.
        cache: folder for what combinations and runs share; it is kept in memory alone if None.
    """

    recipe: Recipe
    data: Path
    out: Path
    dataset: list[Sample]
    samples: list[Sample]
    device: str
    batch_size: int | None
    allow_pickle: bool
    cache: Path | None

    @property
    def edits(self) -> int:
        """Number of edits of the whole plan, finished ones included."""
        return len(self.samples) * len(self.recipe.pairs)


@dataclass(frozen=True)
class RunSummary:
    """How a session ended.

    Attributes:
        made: edits made in this session.
        found: edits that earlier sessions had finished.
        notes: what the user should know, by sample id.
    """

    made: int
    found: int
    notes: dict[str, list[str]]


def plan_run(
    recipe: Recipe,
    data: Path | None,
    out: Path,
    selection: Selection,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    allow_pickle: bool = False,
    cache: Path | None = None,
) -> RunPlan:
    """Check recipe, data, model and run folder without loading anything heavy.

    Without ``data``, the embedded benchmark is drawn into the run folder.

    Raises:
        PiebenchError: anything that would make the run fail or mix results.
    """
    check_device_name(device)
    for model, _, _ in models_of(recipe):
        check_model_location(model, allow_pickle)
    for option, folder in (("--out", out), ("--cache", cache)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise PiebenchError(f"{option} {folder}: is a file; name a folder")
    if RunStore.exists(out):
        RunStore.read(out).require_same_recipe(recipe)
    data = data or embedded_benchmark(out / BENCHMARK_FOLDER)
    dataset = load_pie_bench(data)
    samples = select_samples(dataset, selection.types, selection.ids, selection.limit)
    plan_jobs(recipe, samples, batch_size=1)
    return RunPlan(recipe, data, out, dataset, samples, device, batch_size, allow_pickle, cache)


def execute_run(plan: RunPlan, on_progress: Callable[[Progress], None]) -> RunSummary:
    """Load the model and work through the plan; every edit is on disk before it is reported.

    Args:
        plan: from ``plan_run``.
        on_progress: called after each edit.

    Raises:
        PiebenchError: the model cannot be loaded or used, or the run folder belongs to something else.
    """
    from piebench_eval.backbone.loading import resolve_device
    from piebench_eval.runs.engines.local import run_jobs
    from piebench_eval.runs.manifest import new_manifest

    recipe = plan.recipe
    where = resolve_device(plan.device)
    manifest = new_manifest(recipe, plan.data, plan.dataset, plan.samples, where)
    store: RunStore | None = None
    jobs = plan_jobs(recipe, plan.samples, plan.batch_size or DEFAULT_BATCH[where.type])
    made = found = 0
    notes: dict[str, list[str]] = {}
    for model in models_of(recipe):
        backbone = _load(plan, model, where)
        # Only now: a model that cannot be loaded leaves no run folder behind.
        store = store or RunStore.create_or_resume(plan.out, recipe, manifest)
        store.use_model(*model[:2], model_fingerprint(*model[:2]))
        of_model = [job for job in jobs if model_of(job.combination) == model]
        for progress in run_jobs(backbone, of_model, store):
            made, found = made + (progress.result is not None), found + (progress.result is None)
            if progress.result is not None and progress.result.notes:
                known = notes.setdefault(progress.sample.id, [])
                known += [note for note in progress.result.notes if note not in known]
            on_progress(progress)
    return RunSummary(made, found, notes)


def models_of(recipe: Recipe) -> list[tuple[str, str | None, str]]:
    """The models that a recipe's combinations need: name, revision and precision of each."""
    return list(dict.fromkeys(model_of(recipe.combination(*pair)) for pair in recipe.pairs))


def _load(plan: RunPlan, model: tuple[str, str | None, str], where: torch.device) -> Backbone:
    """Load a model, check its resolution, and give it a memory."""
    from piebench_eval.backbone.loading import load_backbone
    from piebench_eval.backbone.memory import Memory
    from piebench_eval.runs.edit import working_resolution
    from piebench_eval.runs.manifest import library_versions

    name, revision, precision = model
    backbone = load_backbone(name, revision, where, precision, plan.allow_pickle)
    for combination in (plan.recipe.combination(*pair) for pair in plan.recipe.pairs):
        if model_of(combination) == model:
            working_resolution(backbone, combination.common.resolution)
    # A model without a fingerprint is told apart by its name.
    weights = model_fingerprint(name, revision) or [name, revision]
    identity = {"model": weights, "precision": precision, "device": where.type}
    backbone.memory = Memory({**identity, "versions": library_versions()}, plan.cache)
    return backbone

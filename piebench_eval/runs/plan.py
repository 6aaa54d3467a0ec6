"""Build and validate the plan of a run before a model is loaded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from piebench_eval.data.images import image_size
from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.selection import select_samples
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.errors import PiebenchWarning
from piebench_eval.models.location import check_model_location
from piebench_eval.runs.engines.devices import split_devices
from piebench_eval.runs.jobs import check_edits, models_of
from piebench_eval.runs.preflight import check_devices, check_folder, check_out, check_resolutions
from piebench_eval.runs.runner import edit_with_model
from piebench_eval.runs.shard import Shard
from piebench_eval.runs.store.folder import RunStore, Scan
from piebench_eval.runs.store.manifest import describe_run
from piebench_eval.runs.store.paths import BENCHMARK_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from piebench_eval.data.images import Size
    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.runner import ModelEditor
    from piebench_eval.runs.worker import Editor, WorkerSpec


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
class Workers:
    """Who works.

    Attributes:
        engine: ``local``: this machine; ``ray``: a Ray cluster.
        devices: see ``find_devices``.
        count: worker processes per GPU, or on the CPU; under Ray, actors: as many as it has room for if None.
        batch_size: samples per batch; None finds it out on a GPU and is 1 elsewhere.
        allow_pickle: load weights from pickle files.
        cache: folder for what combinations and runs share; it is kept in memory alone if None.
        compile: compile the UNet's blocks.
        checkpointing: recompute activations in null-text's backward passes instead of keeping them.
        ray_address: of the Ray cluster; Ray's own choice if None.
        gpus_per_actor: share of GPUs that each actor takes; 1 where the cluster has any if None.
        shared_files: whether Ray's actors see the same files as this process.
        make_editor: what edits; a model, unless the loop itself is under test.
    """

    engine: Literal["local", "ray"] = "local"
    devices: str = "auto"
    count: int | None = None
    batch_size: int | None = None
    allow_pickle: bool = False
    cache: Path | None = None
    compile: bool = False
    checkpointing: bool = False
    ray_address: str | None = None
    gpus_per_actor: float | None = None
    shared_files: bool = True
    make_editor: Callable[[WorkerSpec, Recipe], Editor | ModelEditor] = edit_with_model


@dataclass(frozen=True)
class RunPlan:
    """A run that has passed every check that needs no model.

    Attributes:
        recipe: how pictures are edited.
        data: the benchmark folder.
        out: the run folder.
        samples: those that will be edited, by this process or by other shards.
        about: what must not change while the run lasts, see ``describe_run``.
        workers: who works.
        shard: which part of the plan is this process's.
        retry_failed: make edits again that have failed.
        max_failures: failed edits after which the session stops.
        mask_size: the size that the benchmark's masks were brought to their pictures from; None for none.
        after: runs that follow in the same command, whose time is counted in what is left.
    """

    recipe: Recipe
    data: Path
    out: Path
    samples: list[Sample]
    about: dict[str, Any]
    workers: Workers = field(default_factory=Workers)
    shard: Shard = field(default_factory=Shard)
    retry_failed: bool = False
    max_failures: int = 20
    mask_size: Size | None = None
    after: tuple[RunPlan, ...] = ()

    def scan(self) -> Scan:
        """How far the whole run is; nothing is done where there is no run folder yet."""
        if RunStore.exists(self.out):
            return RunStore.read(self.out).scan(self.samples)
        return RunStore(self.out, self.recipe).scan(self.samples)


def plan_run(
    recipe: Recipe,
    data: Path | None,
    out: Path,
    selection: Selection,
    workers: Workers | None = None,
    shard: Shard | None = None,
    *,
    retry_failed: bool = False,
    max_failures: int = 20,
    mask_size: str | None = None,
) -> RunPlan:
    """Check recipe, data, model and run folder without loading anything heavy.

    Without ``data``, the embedded benchmark is drawn into the run folder. ``mask_size`` is the size that its
    masks are made for where that is not the pictures', see ``parse_mask_size``.

    Raises:
        PiebenchError: anything that would make the run fail or mix results.
    """
    workers = workers or Workers()
    split_devices(workers.devices)  # a name that no device could have, also of another machine
    for model in models_of(recipe):
        check_model_location(model.name, workers.allow_pickle, model.revision)
    check_resolutions(recipe)
    check_out(out)
    if workers.cache is not None:
        check_folder("--cache", workers.cache)
    if workers.engine == "local" and workers.make_editor is edit_with_model:
        check_devices(workers.devices)
    if RunStore.exists(out):
        RunStore.read(out).require_same_recipe(recipe)
    data = data or embedded_benchmark(out / BENCHMARK_FOLDER)
    made_for = None if mask_size is None else parse_mask_size(mask_size)
    dataset = load_pie_bench(data, made_for)
    about = describe_run(recipe, dataset)
    if RunStore.exists(out):
        RunStore.read(out).require_same_world(about)
    samples = select_samples(dataset, selection.types, selection.ids, selection.limit)
    check_edits(recipe, samples)
    if any(recipe.stored.image_loader(*pair) == "crop" for pair in recipe.pairs):
        _tell_of_cropping(data, samples)
    shard = shard or Shard()
    return RunPlan(recipe, data, out, samples, about, workers, shard, retry_failed, max_failures, made_for)


def _tell_of_cropping(data: Path, samples: Sequence[Sample]) -> None:
    """Warn that only parts of pictures are edited."""
    sizes = [image_size(sample.file) for sample in samples]
    if wide := sum(width != height for width, height in sizes):
        _warn_once(
            f"{data}: {wide} of {len(sizes)} pictures are not square: their central squares are edited, and "
            "the rest is cropped; image_loader=stretch takes them whole"
        )


@cache
def _warn_once(text: str) -> None:
    """Warn, but not again of every point of a sweep."""
    warnings.warn(text, PiebenchWarning, stacklevel=4)

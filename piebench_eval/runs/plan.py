"""Build and validate the plan of a run before a model is loaded."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import image_size
from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.selection import select_samples
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.demo.embedded import is_embedded
from piebench_eval.diffusion.feature_limits import FEATURE_OPTION
from piebench_eval.editors.function import is_function
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.models.image_encoder_files import check_image_encoder
from piebench_eval.models.location import (
    check_deterministic,
    check_model_location,
    image_sizes,
    known_family,
)
from piebench_eval.models.quantization import require_quantizer
from piebench_eval.models.sequential_offload import check_sequential_offload
from piebench_eval.recipes.compatibility import cautions, require_compatible, require_fitting_editors
from piebench_eval.runs.editor_models import check_editor_models
from piebench_eval.runs.engines.devices import split_devices
from piebench_eval.runs.feature_needs import plan_features
from piebench_eval.runs.jobs import check_edits, image_encoders, package_models
from piebench_eval.runs.larger_edits import warnings_of_larger_edits
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.shard import Shard
from piebench_eval.runs.store.folder import RunStore, Scan, plugins_of_run
from piebench_eval.runs.store.manifest import describe_run
from piebench_eval.runs.store.paths import BENCHMARK_FOLDER, FILES_OF_A_RUN, refuse_sweep_out

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from piebench_eval.data.images import Size
    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.recipes.run_config import RunConfig
    from piebench_eval.runs.feature_room import FeatureNeed

_SHOWN = 3
"""Foreign files that a message names."""


@dataclass(frozen=True)
class Selection:
    """Selection of samples; None selects all.

    Attributes:
        types: editing types.
        ids: sample ids.
        limit: how many at most, in turns over the types.
        subset: a fixed subset in place of all these, see ``data.subsets``.
    """

    types: Collection[str] | None = None
    ids: Collection[str] | None = None
    limit: int | None = None
    subset: str | None = None


@dataclass(frozen=True)
class RunPlan:
    """What one command is to do with a run, after every check that needs no model.

    Its jobs are planned by ``plan_jobs`` when it is executed.

    Attributes:
        recipe: the recipe of the run.
        data: the benchmark folder.
        out: the run folder.
        samples: the selected samples, those of other shards included.
        about: what must not change while the run lasts, see ``describe_run``.
        machine: on what and how it is executed.
        shard: the part of this process.
        retry_failed: make edits again that have failed.
        max_failures: the session stops when more edits have failed.
        mask_size: the size that the masks are made for, if it is not the images' own.
        features: what combinations keep of their inversions.
        after: runs that follow in the same command; the time left includes theirs.
        subset: name of the fixed subset that the samples are, if they are one.
    """

    recipe: Recipe
    data: Path
    out: Path
    samples: list[Sample]
    about: dict[str, Any]
    machine: MachineOptions = field(default_factory=MachineOptions)
    shard: Shard = field(default_factory=Shard)
    retry_failed: bool = False
    max_failures: int = 20
    mask_size: Size | None = None
    features: tuple[FeatureNeed, ...] = ()
    after: tuple[RunPlan, ...] = ()
    subset: str | None = None

    def scan(self) -> Scan:
        """How far the whole run is; without a run folder, no edit is done."""
        if RunStore.exists(self.out):
            return RunStore.read(self.out).scan(self.samples)
        return RunStore(self.out, self.recipe).scan(self.samples)


def plan_run(
    recipe: Recipe,
    data: Path | None,
    out: Path,
    selection: Selection,
    machine: MachineOptions | None = None,
    shard: Shard | None = None,
    *,
    retry_failed: bool = False,
    max_failures: int = 20,
    mask_size: str | None = None,
) -> RunPlan:
    """Check recipe, data, model, machine options and run folder without loading a model.

    Args:
        recipe: the recipe of the run.
        data: the benchmark folder; None draws the embedded benchmark into the run folder.
        out: the run folder.
        selection: which samples to edit.
        machine: on what and how to execute it.
        shard: the part of this process; the whole run by default.
        retry_failed: make edits again that have failed.
        max_failures: the session stops when more edits have failed.
        mask_size: the size that the masks are made for, if not the images' own, see ``parse_mask_size``.

    Raises:
        PiebenchError: anything that would make the run fail or mix results.
    """
    machine = machine or MachineOptions()
    devices = split_devices(machine.devices)  # refuses names that no device of any machine has
    for model in package_models(recipe):
        check_model_location(model.name, machine.allow_pickle, model.revision, model.family)
        for device in devices if machine.deterministic else ():
            check_deterministic(model.precision, "cpu" if device == "auto" else device, model.weights)
        require_quantizer(model.weights)
        if machine.sequential_offload:
            family = known_family(model.name, model.revision, model.family)
            check_sequential_offload(family, model.weights, machine.compile)
    check_editor_models(recipe, machine)
    combinations = [recipe.combination(*pair) for pair in recipe.pairs]
    require_compatible(combinations)
    for name in image_encoders(combinations):
        check_image_encoder(name, machine.allow_pickle)
    require_fitting_editors(combinations)
    _require_one_process(recipe, machine)
    check_resolutions(recipe)
    check_out(out)
    if machine.cache is not None:
        check_folder("--cache", machine.cache)
    if machine.feature_memory.disk is not None:
        check_folder(f"{FEATURE_OPTION} disk", machine.feature_memory.disk)
    if machine.engine == "local" and machine.make_runner is None:
        check_devices(machine.devices)
    if RunStore.exists(out):
        RunStore.read(out).require_same_recipe(recipe)
    data = data or embedded_benchmark(out / BENCHMARK_FOLDER)
    made_for = None if mask_size is None else parse_mask_size(mask_size)
    dataset = load_pie_bench(data, made_for)
    about = describe_run(recipe, dataset)
    if RunStore.exists(out):
        RunStore.read(out).require_same_inputs(about)
    samples = select_samples(dataset, selection.types, selection.ids, selection.limit, selection.subset)
    check_edits(recipe, samples)
    if any(recipe.stored.image_loader(*pair) == "crop" for pair in recipe.pairs):
        _warn_of_cropping(data, samples)
    for warning in warnings_of_larger_edits(data, samples, combinations):
        _warn_once(warning)
    for caution in cautions(combinations):
        _warn_once(caution)
    features = tuple(plan_features(recipe, samples, machine))
    shard = shard or Shard()
    return RunPlan(
        recipe,
        data,
        out,
        samples,
        about,
        machine,
        shard,
        retry_failed,
        max_failures,
        made_for,
        features,
        subset=selection.subset,
    )


def _require_one_process(recipe: Recipe, machine: MachineOptions) -> None:
    """Refuse functions as editors where other processes would have to know them.

    Raises:
        PiebenchError: names the function, and the remedy.
    """
    one_device = machine.devices != "all" and len(split_devices(machine.devices)) == 1
    alone = machine.engine == "local" and machine.workers in (None, 1) and one_device
    for name in recipe.editors:
        if is_function(name) and not alone:
            raise PiebenchError(
                f"editor {name}: is a function of this process, and other workers do not know it; leave out "
                "workers and devices, or put it into a plugin file (see docs/extending.md)"
            )


def plan_single_run(
    run_config: RunConfig, out: Path, plan: Callable[[Recipe, Path | None, Path], RunPlan]
) -> RunPlan:
    """Build the recipe of a run that is no sweep, and plan it.

    Args:
        run_config: the configuration of the run.
        out: the run folder.
        plan: ``plan_run`` with its other arguments.

    Raises:
        PiebenchError: anything that would make the run fail or mix results.
    """
    refuse_sweep_out(out)
    recipe, data = run_config.build(known_plugins=plugins_of_run(out))
    return plan(recipe, data, out)


def check_folder(option: str, folder: Path) -> None:
    """Check that a folder exists or can be made, and can be written to.

    Args:
        option: the option that names it, for messages.
        folder: the folder.

    Raises:
        PiebenchError: it cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise PiebenchError(f"{option} {folder}: is a file; name a folder")
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise PiebenchError(f"{option} {folder}: {existing} is a file; name another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PiebenchError(
            f"{option} {folder}: {existing} is not writable; name another folder, or change its permissions"
        )


def check_out(folder: Path) -> None:
    """Check that a folder is new, empty or a run folder.

    Raises:
        PiebenchError: it holds other things, or ``check_folder`` refuses it.
    """
    check_folder("--out", folder)
    if not folder.is_dir() or RunStore.exists(folder):
        return
    others = sorted(path.name for path in folder.iterdir() if not _is_allowed_before_a_run(path))
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise PiebenchError(
            f"--out {folder}: holds other things than a run ({', '.join(others[:_SHOWN])}{more}); name a "
            "folder that is new or empty"
        )


def _is_allowed_before_a_run(path: Path) -> bool:
    """Whether a run folder may hold this before the run begins: what a run makes first, and a job's log."""
    return path.name in FILES_OF_A_RUN or path.name[0] == "." or path.suffix in (".log", ".out", ".err")


def check_devices(wanted: str) -> None:
    """Check that this machine has the devices; PyTorch is imported only if a GPU is named.

    Raises:
        PiebenchError: it lacks one.
    """
    if named := [device for device in split_devices(wanted) if device not in ("auto", "all", "cpu")]:
        from piebench_eval.models.device import resolve_device

        for device in named:
            resolve_device(device)


def check_resolutions(recipe: Recipe) -> None:
    """Check every resolution against its model, as far as the model's configurations are on disk.

    Raises:
        PiebenchError: it is not a multiple of the model's size divisor, is larger than the model can take, or
            is not the native resolution of an embedded model.
    """
    sizes = {
        model.name: image_sizes(model.name, model.revision, model.family) for model in package_models(recipe)
    }
    combinations = (recipe.combination(*pair) for pair in recipe.pairs)
    for common in (each.common for each in combinations if not each.loads_itself):
        resolution, of_model = common.resolution, sizes.get(common.model)
        if resolution is None or of_model is None:
            continue
        if is_embedded(common.model) and resolution != of_model.native:
            raise PiebenchError(
                f"resolution {resolution}: the demo's model edits images of {of_model.native} pixels "
                "only; leave resolution out, or give --model"
            )
        if (problem := of_model.problem(resolution)) is not None:
            raise PiebenchError(problem)


def _warn_of_cropping(data: Path, samples: Sequence[Sample]) -> None:
    """Warn if images are not square: the crop loader edits their central squares only."""
    sizes = [image_size(sample.file) for sample in samples]
    if wide := sum(width != height for width, height in sizes):
        _warn_once(
            f"{data}: {wide} of {len(sizes)} pictures are not square: their central squares are edited, and "
            "the rest is cropped; image_loader=resize takes them whole, without their aspect ratio"
        )


@cache
def _warn_once(text: str) -> None:
    """Warn once, not at every run of a sweep."""
    warnings.warn(text, PiebenchWarning, stacklevel=4)

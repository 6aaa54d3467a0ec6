"""Run the benchmark and write its report."""

import gc
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from rich.console import Console

from piebench_eval.data.sample import Sample
from piebench_eval.errors import PiebenchError
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.compile import compile_blocks
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.loading import PRECISIONS, load_model
from piebench_eval.models.location import find_family
from piebench_eval.models.precision import tf32
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.combination import Combination
from piebench_eval.recipes.recipe import Recipe, build_recipe, read_recipe_fields
from piebench_eval.runs.batch_editing import working_resolution
from piebench_eval.runs.forecast import count_evaluations, forecast
from piebench_eval.runs.store.folder import Scan
from scripts.speed.flops import flops_of_row, matrix_peak
from scripts.speed.flow_bench import bench_flow
from scripts.speed.flows import FLOW_SIZES
from scripts.speed.measure import Measured, beside_plain, measure, plain_unet, time_ends, time_grid
from scripts.speed.memory import Calculated, calculate_memory
from scripts.speed.models import SIZES, save_model
from scripts.speed.quality import metric_changes
from scripts.speed.reference_evaluations import reference_evaluations
from scripts.speed.report import Findings, Options, Report, prepare_device
from scripts.speed.samples import save_samples
from scripts.speed.sdxl import XLSize

MEASURED_FAMILIES = ("sd1", "sdxl")


def bench_any(options: Options, console: Console, keep: Callable[[Report], None]) -> Report:
    """Measure a UNet's combinations, or a flow model's evaluations; see ``bench`` and ``bench_flow``."""
    is_flow = options.size in FLOW_SIZES if options.model is None else is_of_a_flow(options.model)
    if (options.blocks or options.extrapolate) and (options.model or not is_flow):
        raise PiebenchError("--blocks: leaves out blocks of --size sd3, sd3.5-medium and flux alone")
    return (bench_flow if is_flow else bench)(options, console, keep)


def is_of_a_flow(model: str) -> bool:
    """Whether a model is one of the flow families, by its files or its hub id."""
    return find_family(model).has_flow_scheduler


def bench(options: Options, console: Console, keep: Callable[[Report], None] = lambda report: None) -> Report:
    """Measure everything that the options ask for.

    Args:
        options: what is asked for.
        console: where progress is shown.
        keep: is given the report so far, whenever something has been measured.

    Raises:
        PiebenchError: an option that does not fit, or a model that cannot be loaded.
    """
    device = prepare_device(options)
    recipe = _recipe(options)
    names = options.combinations or ["+".join(pair) for pair in recipe.pairs]
    combinations = [recipe.combination(*name.split("+")) for name in names]
    with tempfile.TemporaryDirectory() as scratch, console.status("model") as status:
        folder = Path(scratch)
        model = options.model or str(save_model(folder / options.size, SIZES[options.size]))
        diffusion_model = load_model(model, device=device, precision=options.precision)
        _check_family(model, diffusion_model)
        if options.compile:
            compile_blocks(diffusion_model.denoiser)
        side = working_resolution(diffusion_model, options.resolution)
        samples = save_samples(folder, max([*options.batch_sizes, _calculated_batch(options)]), side)
        _page_in(diffusion_model)
        plain = plain_unet(model, device) if options.baseline else None
        findings = _begin(options, recipe, combinations[0], diffusion_model, samples, status.update)
        for combination in combinations:
            status.update(combination.name)
            try:
                found = _measure(options, diffusion_model, plain, samples, combination)
            except (PiebenchError, RuntimeError) as error:  # of a GPU: out of memory, or a kernel that fails
                findings.failed.append(f"{combination.name}: {str(error).splitlines()[0]}")
                console.print(findings.failed[-1], style="red", highlight=False)
            else:
                findings.measured.append(found)
                console.print(f"{combination.name}: {found.fastest.seconds:.3g} s per image")
            _release(device)
            keep(findings.report())
        if not findings.measured:
            raise PiebenchError("nothing could be measured; try fewer --batch-sizes, or another --precision")
        del plain
        if not options.model:
            status.update("memory by calculation")
            findings.calculated = _calculated(options, combinations, samples, side)
        if not options.quick:
            status.update("all combinations in a row")
            done = {one.combination for one in findings.measured}
            in_a_row = [combination for combination in combinations if combination.name in done]
            findings.grid = time_grid(diffusion_model, samples[: max(options.batch_sizes)], in_a_row)
        if findings.judges_metrics:
            status.update(f"metrics in float32 and {options.precision}")
            findings.changes = metric_changes(options.precision, recipe.pairs, options.device)
    report = findings.report()
    keep(report)
    return report


def _begin(
    options: Options,
    recipe: Recipe,
    combination: Combination,
    model: DiffusionModel,
    samples: Sequence[Sample],
    tell: Callable[[str], None],
) -> Findings:
    """What is known before any combination: plans, and what the device gives."""
    side, batch = working_resolution(model, options.resolution), max(options.batch_sizes)
    table1 = _table1({"model": options.model or options.size, "family": model.family.name})
    tell("matrix products")
    with tf32(options.precision == "tf32"):
        peak = matrix_peak(model.device, PRECISIONS[options.precision])
    tell("encoding and decoding")
    ends = time_ends(model, samples, combination, options.batch_sizes, _warms_up(options, model))
    return Findings(
        options,
        model.device,
        side,
        planned=forecast(recipe, [samples[batch - 1]], Scan()),
        planned_table1=forecast(table1, samples, Scan()),
        table1_steps=table1.combination(*table1.pairs[0]).common.steps,
        per_row=flops_of_row(model.denoiser, side // model.vae_factor),
        peak=peak,
        ends=ends,
        reference=_reference(recipe, samples[batch - 1]) if model.family.name == "sd1" else {},
        family=model.family,
        denoiser=dict(model.denoiser.config),
    )


def _reference(recipe: Recipe, sample: Sample) -> dict[str, tuple[int, int] | None]:
    """Evaluations of the reference for the edit of a sample, by combination."""
    found = {}
    for key, cost in count_evaluations(recipe, [sample]).items():
        combination = recipe.combination(key.inversion, key.method)
        skipped = combination.common.steps - cost.steps
        found[combination.name] = reference_evaluations(combination, skipped)
    return found


def _check_family(name: str, model: DiffusionModel) -> None:
    """Refuse a model that the plain implementation and Table 1's combinations are not written for.

    Raises:
        PiebenchError: it is of another family than Stable Diffusion 1.x and XL.
    """
    if model.family.name not in MEASURED_FAMILIES:
        titles = " or ".join(FAMILIES[family].title for family in MEASURED_FAMILIES)
        raise PiebenchError(f"--model {name}: is of the family {model.family.title}; use one of {titles}")


def _warms_up(options: Options, model: DiffusionModel) -> bool:
    return options.compile or model.device.type == "cuda"


def _measure(
    options: Options,
    model: DiffusionModel,
    plain: UNet2DConditionModel | None,
    samples: Sequence[Sample],
    combination: Combination,
) -> Measured:
    """One combination, and the plain implementation beside it."""
    warm_up = _warms_up(options, model)
    measured, edited = measure(model, samples, combination, options.batch_sizes, options.repeats, warm_up)
    if plain is None:
        return measured
    return beside_plain(measured, edited, model, plain, combination, warm_up)


def _page_in(model: DiffusionModel) -> None:
    """Read all weights, which are only mapped to their file: the first edit's memory is not to hold them."""
    for network in (model.denoiser, model.vae, *model.text_encoders.values()):
        for weight in network.parameters():
            weight.sum()


def _release(device: torch.device) -> None:
    """Give a GPU's memory back: what one combination has left there is not to keep the next from fitting."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _recipe(options: Options) -> Recipe:
    """Table 1's recipe, narrowed to the combinations that are asked for."""
    overrides = {"model": options.model or options.size, "steps": options.steps}
    overrides |= {"precision": options.precision, "resolution": options.resolution}
    if not options.model:
        overrides["family"] = "sdxl" if isinstance(SIZES[options.size], XLSize) else "sd1"
    return _table1(overrides, options.combinations)


def _table1(overrides: Mapping[str, Any], chosen: Sequence[str] | None = None) -> Recipe:
    file = recipe_file("table1")
    fields = read_recipe_fields(file)
    known = fields["combinations"]
    chosen = chosen or list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise PiebenchError(f"--combinations {', '.join(unknown)}: choose from {', '.join(known)}")
    fields["combinations"] = {name: known[name] for name in chosen}
    return build_recipe(fields, overrides, str(file))


def _calculated(
    options: Options, combinations: Sequence[Combination], samples: Sequence[Sample], side: int
) -> tuple[Mapping[str, Mapping[str, Calculated]], str]:
    """The memory of each combination's batch, for a model whose size is known."""
    number, size = _calculated_batch(options), SIZES[options.size]
    batch, formats = samples[:number], {"fp32": torch.float32, "bf16 or fp16": torch.bfloat16}
    calculated = {
        combination.name: {
            name: calculate_memory(size, combination, batch, dtype, side) for name, dtype in formats.items()
        }
        for combination in combinations
    }
    return calculated, f"batch {number}, {side} pixels"


def _calculated_batch(options: Options) -> int:
    """Pictures in a batch whose memory is calculated: one where pictures are large."""
    return 1 if isinstance(SIZES[options.size], XLSize) else 8

"""The bench, from options to a report."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from rich.console import Console

from piebench_eval.backbone.backbone import Backbone
from piebench_eval.backbone.compiled import compile_blocks
from piebench_eval.backbone.loading import PRECISIONS, load_backbone, resolve_device
from piebench_eval.bench.sample import Sample
from piebench_eval.errors import PiebenchError
from piebench_eval.loading import tf32
from piebench_eval.recipes import recipe_file
from piebench_eval.runs.combination import Combination
from piebench_eval.runs.edit import working_resolution
from piebench_eval.runs.forecast import forecast
from piebench_eval.runs.manifest import describe_device, library_versions
from piebench_eval.runs.recipe import Recipe, build_recipe, read_recipe_fields
from piebench_eval.runs.store import Scan
from scripts.speed import tables
from scripts.speed.flops import flops_of_row, matrix_peak
from scripts.speed.measure import Measured, beside_plain, measure, plain_unet, time_grid
from scripts.speed.memory import calculate_memory
from scripts.speed.models import SIZES, save_model
from scripts.speed.quality import metric_changes
from scripts.speed.samples import save_samples

CALCULATED_BATCH = 8
TABLE_1, PICTURES = 12, 700
"""Combinations, and pictures of PIE-Bench."""


@dataclass(frozen=True)
class Options:
    """What ``scripts/bench.py`` is asked for; see its ``--help``."""

    size: str
    model: str | None
    combinations: list[str] | None
    steps: int
    resolution: int | None
    batch_sizes: list[int]
    precision: str
    device: str
    threads: int | None
    baseline: bool
    compile: bool
    repeats: int


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        sections: Markdown.
        data: the numbers, for ``--out``.
        same: whether all latents that had to be the plain ones were.
        failed: combinations that could not be measured, and why.
    """

    sections: list[str]
    data: dict[str, Any]
    same: bool
    failed: list[str]


def bench(options: Options, console: Console) -> Report:
    """Measure everything that the options ask for.

    Raises:
        PiebenchError: an option that does not fit, or a model that cannot be loaded.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = _recipe(options)
    combinations = [recipe.combination(*pair) for pair in recipe.pairs]
    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as scratch, console.status("model") as status:
        folder = Path(scratch)
        model = options.model or str(save_model(folder / options.size, SIZES[options.size]))
        backbone = load_backbone(model, device=device, precision=options.precision)
        if options.compile:
            compile_blocks(backbone.unet)
        side = working_resolution(backbone, options.resolution)
        samples = save_samples(folder, max([*options.batch_sizes, CALCULATED_BATCH]), side)
        _page_in(backbone)
        plain = plain_unet(model, device) if options.baseline else None
        measured, failed = [], []
        for combination in combinations:
            status.update(combination.name)
            try:
                measured.append(_measure(options, backbone, plain, samples, combination))
                console.print(f"{combination.name}: {measured[-1].fastest.seconds:.3g} s per image")
            except (PiebenchError, torch.OutOfMemoryError) as error:
                failed.append(f"{combination.name}: {str(error).splitlines()[0]}")
                console.print(failed[-1], style="red", highlight=False)
        if not measured:
            raise PiebenchError("nothing could be measured; try fewer --batch-sizes, or another --precision")
        del plain
        status.update("all combinations in a row")
        batch = max(options.batch_sizes)
        done = {one.combination for one in measured}
        in_a_row = [combination for combination in combinations if combination.name in done]
        grid = time_grid(backbone, samples[:batch], in_a_row)
        status.update("matrix products")
        with tf32(options.precision == "tf32"):
            peak = matrix_peak(device, PRECISIONS[options.precision])
        per_row = flops_of_row(backbone.unet, side // backbone.vae_factor)
        judged = options.baseline and options.precision == "fp32"
        sections = [
            _heading(options, device, side),
            tables.row_table(forecast(recipe, [samples[batch - 1]], Scan()), measured),
            tables.speed_table(measured, judged),
            _grid(grid, batch, measured, is_table_1=len(measured) == TABLE_1),
            tables.memory_table(measured),
            *_calculated(options, combinations, samples, side),
            tables.flops_table(measured, per_row, peak, options.precision),
            *failed,
        ]
        data = {
            "options": asdict(options),
            "device": _device_name(device),
            "versions": library_versions(),
            "combinations": [asdict(one) for one in measured],
            "failed": failed,
            "grid": {"batch": batch, "seconds": grid},
            "flops_per_row": per_row,
            "matrix_peak": peak,
        }
        if options.precision != "fp32":
            status.update(f"metrics in float32 and {options.precision}")
            changes = metric_changes(options.precision, recipe.pairs, options.device)
            sections.append(tables.metric_table(changes, options.precision))
            data["metrics"] = {
                name: row.unstack().to_dict(orient="index") for name, row in changes.iterrows()
            }
    same = not judged or all(one.is_near for one in measured)
    return Report(sections, data, same, failed)


def _measure(
    options: Options,
    backbone: Backbone,
    plain: UNet2DConditionModel | None,
    samples: Sequence[Sample],
    combination: Combination,
) -> Measured:
    """One combination, and the plain implementation beside it."""
    warm_up = options.compile or backbone.device.type == "cuda"
    measured, edited = measure(backbone, samples, combination, options.batch_sizes, options.repeats, warm_up)
    if plain is None:
        return measured
    return beside_plain(measured, edited, backbone, plain, combination, warm_up)


def _page_in(backbone: Backbone) -> None:
    """Read all weights, which are only mapped to their file: the first edit's memory is not to hold them."""
    for network in (backbone.unet, backbone.vae, backbone.text_encoder):
        for weight in network.parameters():
            weight.sum()


def _recipe(options: Options) -> Recipe:
    """Table 1's recipe, narrowed to the combinations that are asked for."""
    file = recipe_file("table1")
    fields = read_recipe_fields(file)
    known = fields["combinations"]
    chosen = options.combinations or list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise PiebenchError(f"--combinations {', '.join(unknown)}: choose from {', '.join(known)}")
    fields["combinations"] = {name: known[name] for name in chosen}
    overrides = {"model": options.model or options.size, "steps": options.steps}
    overrides |= {"precision": options.precision, "resolution": options.resolution}
    return build_recipe(fields, overrides, str(file))


def _heading(options: Options, device: torch.device, side: int) -> str:
    model = Path(options.model).name if options.model else f"{options.size}, random weights"
    compiled = ", compiled" if options.compile else ""
    return (
        f"# {_device_name(device)}\n\nModel {model}; {side} pixels, {options.steps} steps, "
        f"{options.precision}{compiled}; PyTorch {torch.__version__}. Each combination by itself, the median "
        f"of {options.repeats}; an image is read, encoded, inverted, edited and decoded. The plain "
        "implementation does the same in float32 once, one image at a time, with the same text embeddings."
    )


def _device_name(device: torch.device) -> str:
    """The device; of a CPU on Linux also which it is."""
    if device.type != "cpu":
        return describe_device(device)
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else describe_device(device)}, {torch.get_num_threads()} threads"


def _grid(seconds: float, batch: int, measured: list[Measured], is_table_1: bool) -> str:
    """What all combinations take together, and Table 1 at that pace."""
    text = f"All {len(measured)} in a row, batch {batch}, sharing what they can: {seconds:.3g} s per image"
    if all(one.plain for one in measured):
        plain = sum(one.plain.seconds for one in measured)
        text += f"; the plain implementation: {plain:.4g} s, {plain / seconds:.1f} times as long"
    if is_table_1:
        text += f". At this pace {PICTURES} images take {PICTURES * seconds / 3600:.2g} hours (a projection)"
    return f"{text}."


def _calculated(
    options: Options, combinations: Sequence[Combination], samples: Sequence[Sample], side: int
) -> list[str]:
    """The memory of each combination's batch of eight, where the model is of a size that is known."""
    if options.model:
        return []
    batch, size = samples[:CALCULATED_BATCH], SIZES[options.size]
    formats = {"fp32": torch.float32, "fp16": torch.float16}
    calculated = {
        combination.name: {
            name: calculate_memory(size, combination, batch, dtype, side) for name, dtype in formats.items()
        }
        for combination in combinations
    }
    return [tables.calculated_memory(calculated, f"batch {CALCULATED_BATCH}, {side} pixels")]

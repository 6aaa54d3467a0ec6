"""Run the bench of a flow model and write its report: seconds per evaluation, hours of published recipes."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from piebench_eval.errors import PiebenchError
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.compile import compile_blocks
from piebench_eval.models.loading import PRECISIONS, load_model
from piebench_eval.models.precision import tf32
from piebench_eval.runs.batch_editing import working_resolution
from piebench_eval.runs.estimates.measured_pace import timed_device
from piebench_eval.runs.store.manifest import library_versions
from scripts.speed.empty import META
from scripts.speed.evaluations import (
    Evaluations,
    flops_of_evaluation,
    recipes_of,
    time_evaluations,
    time_pictures,
)
from scripts.speed.flops import matrix_peak
from scripts.speed.flows import FLOW_SIZES, FlowSize, new_flow_model, with_blocks
from scripts.speed.pace import pace_entry, published_model
from scripts.speed.projection import PICTURES
from scripts.speed.reference_evaluations import FLOW_EVALUATIONS
from scripts.speed.report import Options, Report, device_name, prepare_device
from scripts.speed.samples import save_samples
from scripts.speed.tables import markdown


@dataclass
class FlowFindings:
    """What is known of a flow model.

    Attributes:
        options: what was asked for.
        model: the model that is measured.
        side: of the pictures, in pixels.
        flops: operations of a row of the whole model, and of the model that is measured; None for a model
            from a folder, whose size is not among ours.
        peak: operations per second of the device's matrix product.
        fewer: which blocks were left out; empty if none.
        found: what was measured.
        recipes: evaluations per edit of the published recipes for this model, by their names.
    """

    options: Options
    model: DiffusionModel
    side: int
    flops: tuple[int, int] | None
    peak: float
    fewer: str
    found: Evaluations = field(default_factory=Evaluations)
    recipes: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The published model of this size, or that of ``--model``."""
        return str(published_model(self.options))

    @property
    def seconds(self) -> float | None:
        """Per evaluation of the whole model; None if it was not measured, nor asked to be extrapolated."""
        if not self.found.timings or (self.fewer and not self.options.extrapolate):
            return None
        whole, part = self.flops or (1, 1)
        return self.found.fastest.seconds * whole / part

    @property
    def note(self) -> str:
        """What a reader must know of the pace."""
        extrapolated = f"extrapolated by operations from {self.fewer}" if self.fewer else ""
        compiled = "with --compile" if self.options.compile else ""
        return ", ".join(filter(None, (extrapolated, compiled)))

    def report(self) -> Report:
        """Everything that is known so far."""
        sections = [self._heading(), *self._tables(), *self.found.failed]
        return Report(sections, self._data(), True, self.found.failed)

    def _heading(self) -> str:
        options = self.options
        model = options.model or f"{self.name}'s shapes, random weights"
        fewer = (
            f" Of the transformer, {self.fewer} alone: this is not the model's pace." if self.fewer else ""
        )
        if self.fewer and options.extrapolate:
            fewer = f" Of the transformer, {self.fewer} alone; the whole is extrapolated by operations."
        compiled = ", compiled" if options.compile else ""
        return (
            f"# {device_name(self.model.device)}\n\nModel {model}; {self.side} pixels, {options.precision}"
            f"{compiled}; PyTorch {torch.__version__}. One evaluation is a row of a batch through the "
            f"transformer, no attention controlled; the median of {options.repeats}.{fewer}"
        )

    def _tables(self) -> list[str]:
        if not self.found.timings:
            return []
        header = ["batch", "s/evaluation", "evaluations/s", "MB/row, weights not counted", "GB at most"]
        header += [] if self.flops is None else ["TFLOP/s", f"of the matrix peak, {self.peak / 1e12:.3g}"]
        rows = [self._row(timing) for timing in self.found.timings]
        return [markdown(header, rows), *self._recipes()]

    def _row(self, timing: Any) -> list[str]:
        memory = "-" if timing.memory is None else f"{timing.memory / 1e6:.0f}"
        most = "-" if timing.peak is None else f"{timing.peak / 1e9:.3g}"
        cells = [f"{timing.batch}", f"{timing.seconds:.3g}", f"{1 / timing.seconds:.3g}", memory, most]
        if self.flops is not None:
            speed = self.flops[1] / timing.seconds
            cells += [f"{speed / 1e12:.3g}", f"{speed / self.peak:.1%}"]
        return cells

    def _recipes(self) -> list[str]:
        """What the runs of ``flow-table`` with this model take, at this pace."""
        if self.seconds is None or not self.recipes:
            return []
        ends = self.found.ends[self.found.fastest.batch]
        rows = []
        for name, evaluations in self.recipes.items():
            picture = evaluations * self.seconds + ends
            published = f"{FLOW_EVALUATIONS.get(name, '-')}"
            hours = f"{picture * PICTURES / 3600:.2g}"
            rows.append([name, f"{evaluations}", published, f"{picture:.3g}", hours])
        together = sum(self.recipes.values()) * self.seconds + len(self.recipes) * ends
        header = ["run of flow-table", "NFE/edit", "authors' code", "s/edit", f"hours of {PICTURES} edits"]
        return [
            markdown(header, rows),
            f"All of flow-table's runs with this model: {together * PICTURES / 3600:.2g} hours on one such "
            "device.",
            f"A projection: evaluations at the fastest batch size and {ends:.2g} s of encoding and decoding; "
            "what a method computes beside the model, and the text encoders, are not in it.",
        ]

    def _data(self) -> dict[str, Any]:
        found = self.found
        data = {
            "options": asdict(self.options),
            "device": device_name(self.model.device),
            "versions": library_versions(),
            "evaluations": [asdict(timing) for timing in found.timings],
            "failed": found.failed,
            "seconds_not_in_steps": found.ends,
            "flops_per_row": self.flops and self.flops[1],
            "matrix_peak": self.peak,
            "blocks_left_out": self.fewer,
        }
        if self.seconds is not None:
            ends = found.ends[found.fastest.batch]
            place = timed_device(self.model.device), self.side, self.options.precision
            config = self.model.denoiser.config
            whole = {**config, **(FLOW_SIZES[self.options.size].transformer if self.fewer else {})}
            data["pace"] = [pace_entry(self.name, whole, *place, self.seconds, ends, self.note)]
        return data


def bench_flow(options: Options, console: Console, keep: Callable[[Report], None]) -> Report:
    """Measure a flow model's evaluations.

    Args:
        options: what is asked for.
        console: where progress is shown.
        keep: is given the report so far, whenever something has been measured.

    Raises:
        PiebenchError: an option that does not fit, or a model that cannot be loaded.
    """
    if options.combinations:
        raise PiebenchError("--combinations: of a flow model, single evaluations are measured; leave it out")
    size = None if options.model else FLOW_SIZES[options.size]
    device = prepare_device(options)
    with console.status("model") as status, tf32(options.precision == "tf32"):
        findings = _begin(options, size, device)
        for batch in options.batch_sizes:
            status.update(f"batch {batch}")
            _measure(findings, batch, console)
            keep(findings.report())
        if not findings.found.timings:
            raise PiebenchError("nothing could be measured; try fewer --batch-sizes, or fewer --blocks")
        if findings.seconds is not None:
            status.update("evaluations of the recipes")
            with tempfile.TemporaryDirectory() as scratch:
                samples = save_samples(Path(scratch), 1, findings.side)
                findings.recipes = recipes_of(findings.name, samples)
    report = findings.report()
    keep(report)
    return report


def _begin(options: Options, size: FlowSize | None, device: torch.device) -> FlowFindings:
    dtype, fewer, flops = PRECISIONS[options.precision], "", None
    if size is None:
        assert options.model is not None
        model = load_model(options.model, device=device, precision=options.precision)
        side = working_resolution(model, options.resolution)
    else:
        part = with_blocks(size, options.blocks) if options.blocks else size
        counts = zip(part.blocks.items(), size.blocks.values(), strict=True)
        if part != size:
            fewer = " and ".join(f"{few} of {all_} blocks ({name})" for (name, few), all_ in counts)
        model = new_flow_model(part, device, dtype)
        side = working_resolution(model, options.resolution)
        whole, measured = (
            flops_of_evaluation(new_flow_model(one, META, dtype), side) for one in (size, part)
        )
        flops = whole, measured
    if options.compile:
        compile_blocks(model.denoiser)
    return FlowFindings(options, model, side, flops, matrix_peak(device, dtype), fewer)


def _measure(findings: FlowFindings, batch: int, console: Console) -> None:
    """One batch size; what does not fit is noted."""
    model, side, options = findings.model, findings.side, findings.options
    warm_up = options.compile or model.device.type == "cuda"
    try:
        ends = time_pictures(model, side, batch, warm_up)
        timing = time_evaluations(model, side, batch, options.repeats, warm_up)
    except RuntimeError as error:  # of a GPU: out of memory, or a kernel that fails
        findings.found.failed.append(f"batch {batch}: {str(error).splitlines()[0]}")
        console.print(findings.found.failed[-1], style="red", highlight=False)
    else:
        findings.found.ends[batch] = ends
        findings.found.timings.append(timing)
        console.print(f"batch {batch}: {timing.seconds:.3g} s per evaluation")
    if model.device.type == "cuda":
        torch.cuda.empty_cache()

"""Report of the benchmark, as Markdown and JSON; written after every measurement."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from piebench_eval.models.device import resolve_device
from piebench_eval.models.families import FAMILIES, Family
from piebench_eval.runs.estimates.measured_pace import timed_device
from piebench_eval.runs.forecast import Forecast
from piebench_eval.runs.store.manifest import describe_device, library_versions
from scripts.speed import tables
from scripts.speed.measure import Measured
from scripts.speed.memory import Calculated
from scripts.speed.pace import pace_entry, published_model
from scripts.speed.projection import PICTURES, hours, project, seconds_per_row

TABLE_1 = 12
"""Combinations."""


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
    quick: bool = False
    blocks: list[int] | None = None
    extrapolate: bool = False


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


@dataclass
class Findings:
    """What is known; the fields with a default come one after another.

    Attributes:
        options: what was asked for.
        device: where it was measured.
        side: of the images, in pixels.
        planned: rows of the combinations that are measured.
        planned_table1: rows of all of Table 1, at its own number of steps.
        table1_steps: that number.
        per_row: operations of a UNet row.
        peak: operations per second of the device's matrix product.
        ends: see ``time_ends``.
        measured: one after another.
        failed: combinations that could not be measured, and why.
        grid: seconds per image of all in a row.
        calculated: memory, by combination and number format, of a batch that is described.
        changes: what the precision changes in the metrics.
        reference: evaluations of the reference for an edit, forward and backward, by combination.
        family: of the model.
        denoiser: the configuration of its denoiser.
    """

    options: Options
    device: torch.device
    side: int
    planned: Sequence[Forecast]
    planned_table1: Sequence[Forecast]
    table1_steps: int
    per_row: int
    peak: float
    ends: Mapping[int, float]
    measured: list[Measured] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    grid: float | None = None
    calculated: tuple[Mapping[str, Mapping[str, Calculated]], str] | None = None
    changes: pd.DataFrame | None = None
    reference: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    family: Family = FAMILIES["sd1"]
    denoiser: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judges_metrics(self) -> bool:
        """Whether what the precision changes in the metrics is asked for, and the demo's model can tell."""
        return self._asks_for_metrics and self.family.name == "sd1"

    @property
    def _asks_for_metrics(self) -> bool:
        return self.options.precision != "fp32" and not self.options.quick

    @property
    def _judged(self) -> bool:
        return self.options.baseline and self.options.precision == "fp32"

    def report(self) -> Report:
        """Everything that is known so far."""
        same = not self._judged or all(one.is_near for one in self.measured)
        return Report(self._sections(), self._data(), same, self.failed)

    def _sections(self) -> list[str]:
        sections = [self._heading()]
        if self.measured:
            precision = self.options.precision
            sections += [
                tables.row_table(self.planned, self.measured, self.reference),
                tables.speed_table(self.measured, self._judged),
                *self._grid(),
                tables.batch_table(self._batches(), self.per_row, self.peak, precision),
                *self._projection(),
                tables.memory_table(self.measured),
            ]
        if self.calculated is not None:
            sections.append(tables.calculated_memory(*self.calculated))
        sections += self.failed
        if self.changes is not None:
            sections.append(tables.metric_table(self.changes, self.options.precision))
        if self._asks_for_metrics and not self.judges_metrics:
            sections.append(tables.no_metrics(self.family.title, self.options.precision))
        return sections

    def _data(self) -> dict[str, Any]:
        projected = project(self.planned_table1, self.measured, self.ends)
        data: dict[str, Any] = {
            "options": asdict(self.options),
            "device": device_name(self.device),
            "versions": library_versions(),
            "combinations": [asdict(one) for one in self.measured],
            "failed": self.failed,
            "seconds_not_in_steps": dict(self.ends),
            "flops_per_row": self.per_row,
            "matrix_peak": self.peak,
            "batches": self._batches(),
        }
        if projected:
            found = {"steps": self.table1_steps, "pictures": PICTURES, "hours": hours(projected)}
            data["projected_table1"] = {**found, "combinations": [asdict(one) for one in projected]}
        if pace := self._pace():
            data["pace"] = [pace]
        if self.grid is not None:
            data["grid"] = {"batch": max(self.options.batch_sizes), "seconds": self.grid}
        if self.calculated is not None:
            data["calculated_memory"] = tables.calculated_bytes(*self.calculated)
        if self.changes is not None:
            data["metrics"] = {
                name: row.unstack().to_dict(orient="index") for name, row in self.changes.iterrows()
            }
        return data

    def _pace(self) -> dict[str, Any] | None:
        """The middle one of the combinations' paces, without those that differentiate."""
        paces = {seconds_per_row(one, self.ends): one for one in self.measured if not one.backward}
        if (model := published_model(self.options)) is None or not paces:
            return None
        seconds = statistics.median_low(paces)
        ends = self.ends[paces[seconds].fastest.batch]
        place = timed_device(self.device), self.side, self.options.precision
        note = "with --compile" if self.options.compile else ""
        return pace_entry(model, self.denoiser, *place, seconds, ends, note)

    def _batches(self) -> list[dict[str, Any]]:
        return tables.batch_rows(self.measured, self.ends, self.per_row, self.peak)

    def _heading(self) -> str:
        options = self.options
        model = Path(options.model).name if options.model else f"{options.size}, random weights"
        compiled = ", compiled" if options.compile else ""
        text = (
            f"# {device_name(self.device)}\n\nModel {model}; {self.side} pixels, {options.steps} steps, "
            f"{options.precision}{compiled}; PyTorch {torch.__version__}. Each combination by itself, the "
            f"median of {options.repeats}; an image is read, encoded, inverted, edited and decoded."
        )
        if options.baseline:
            text += (
                " The plain implementation does the same in float32 once, one image at a time, with the same "
                "text embeddings."
            )
        return text

    def _grid(self) -> list[str]:
        """What all combinations take together, and Table 1 at that pace."""
        if self.grid is None:
            return []
        batch, seconds, count = max(self.options.batch_sizes), self.grid, len(self.measured)
        text = f"All {count} in a row, batch {batch}, sharing what they can: {seconds:.3g} s per image"
        if all(one.plain for one in self.measured):
            plain = sum(one.plain.seconds for one in self.measured)
            text += f"; the plain implementation: {plain:.4g} s, {plain / seconds:.1f} times as long"
        if count == TABLE_1:
            took = PICTURES * seconds / 3600
            text += f". At this pace {PICTURES} images take {took:.2g} hours (a projection)"
        return [f"{text}."]

    def _projection(self) -> list[str]:
        projected = project(self.planned_table1, self.measured, self.ends)
        if not projected:
            return []
        return [tables.projection_table(projected, hours(projected), self.table1_steps, PICTURES)]


def prepare_device(options: Options) -> torch.device:
    """The device of the options, ready to be timed, with the number of threads that they name.

    Raises:
        PiebenchError: there is no such device.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)  # pinned memory and handles belong to the current device
    return device


def device_name(device: torch.device) -> str:
    """The device; of a CPU on Linux also which it is."""
    return timed_device(device) if device.type == "cpu" else describe_device(device)

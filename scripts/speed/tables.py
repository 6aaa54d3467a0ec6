"""Markdown tables of the benchmark report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
from tabulate import tabulate

from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.runs.forecast import Forecast
from scripts.speed.measure import Measured
from scripts.speed.memory import Calculated
from scripts.speed.projection import Projected

_NONE = "-"


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown, its first column to the left."""
    align = ["left", *["right"] * (len(header) - 1)]
    return tabulate(rows, header, tablefmt="github", disable_numparse=True, colalign=align)


def _rows(forward: float | None, backward: float | None) -> str:
    if forward is None:
        return _NONE
    return f"{forward:g}" + (f" + {backward:g}" if backward else "")


def row_table(
    planned: Sequence[Forecast], measured: list[Measured], reference: Mapping[str, tuple[int, int] | None]
) -> str:
    """UNet rows per image: planned, counted, shared in the grid, the plain implementation's, the paper's."""
    plans = {plan.combination: plan for plan in planned}
    rows = []
    for one in measured:
        plan, plain = plans[one.combination], one.plain
        rows.append(
            [
                one.combination,
                _rows(plan.nfe_forward, plan.nfe_backward),
                _rows(one.forward, one.backward),
                f"{plan.nfe_reused:g}",
                _rows(plain.forward, plain.backward) if plain else _NONE,
                _rows(*(reference.get(one.combination) or (None, None))),
            ]
        )
    header = ["UNet rows per image, forward + backward", "planned", "counted", "shared in the grid", "plain"]
    return markdown([*header, "reference"], rows)


def speed_table(measured: list[Measured], judged: bool) -> str:
    """Seconds per image and what they compare to.

    Args:
        measured: of every combination.
        judged: whether the latents have to be the plain ones.
    """
    batches = [timing.batch for timing in measured[0].timings]
    header = ["combination", *(f"s/image, batch {batch}" for batch in batches), "rows/s", "plain s/image"]
    header += ["times faster at best", "latents off, max", "rms"] + (["same"] if judged else [])
    rows = []
    for one in measured:
        cells = [one.combination, *(f"{timing.seconds:.3g}" for timing in one.timings)]
        cells.append(f"{one.rows_per_second:.4g}")
        if one.plain:
            cells += [f"{one.plain.seconds:.4g}", f"{one.ratio:.1f}"]
            cells += [f"{one.plain.max_difference:.1e}", f"{one.plain.rms_difference:.1e}"]
            cells += (["yes" if one.is_near else "NO"]) if judged else []
        rows.append(cells + [_NONE] * (len(header) - len(cells)))
    return markdown(header, rows)


def memory_table(measured: list[Measured]) -> str:
    """Megabytes per image beyond the weights, by batch size."""
    header = ["MB per image, weights not counted"]
    header += [f"batch {timing.batch}" for timing in measured[0].timings]
    rows = [
        [
            one.combination,
            *(_NONE if timing.memory is None else f"{timing.memory / 1e6:.0f}" for timing in one.timings),
        ]
        for one in measured
    ]
    return markdown(header, rows)


def calculated_memory(calculated: Mapping[str, Mapping[str, Calculated]], what: str) -> str:
    """Gigabytes at most, by combination and number format, with and without the text encoders' weights.

    Args:
        calculated: by combination and number format.
        what: which batch.
    """
    header = [f"GB by calculation, {what}"]
    for name in next(iter(calculated.values())):
        header += [f"{name}: weights + the most besides", "text encoders offloaded"]
    rows = []
    for combination, by_format in calculated.items():
        cells = []
        for found in by_format.values():
            parts = f"{_gigabytes(found.weights)} + {_gigabytes(found.besides)}"
            cells += [f"{parts} = {_gigabytes(found.total)}", _gigabytes(found.offloaded)]
        rows.append([combination, *cells])
    return markdown(header, rows)


def _gigabytes(number: int) -> str:
    """Two digits, or all before the point."""
    return f"{number / 1e9:.2g}" if number < 1e11 else f"{number / 1e9:.0f}"


def calculated_bytes(
    calculated: Mapping[str, Mapping[str, Calculated]], what: str
) -> dict[str, str | dict[str, dict[str, dict[str, int]]]]:
    """What ``calculated_memory`` shows, as numbers."""
    found = {
        combination: {
            name: {**asdict(one), "total": one.total, "offloaded": one.offloaded}
            for name, one in by_format.items()
        }
        for combination, by_format in calculated.items()
    }
    return {"of": what, "bytes": found}


def batch_table(batches: Sequence[Mapping[str, Any]], per_row: int, peak: float, precision: str) -> str:
    """Every batch size of every combination: images and operations per second, and memory.

    Args:
        batches: see ``batch_rows``.
        per_row: operations of a UNet row.
        peak: operations per second of the device's matrix product.
        precision: which it was measured in.
    """
    header = [f"{per_row / 1e9:.4g} GFLOP per row", "batch", "images/s", "s/image", "of it in the steps"]
    header += ["TFLOP/s in the steps", f"of the matrix peak ({precision}, {peak / 1e12:.3g} TFLOP/s)"]
    header += ["GB at the peak, weights included"]
    rows = [
        [
            one["combination"],
            one["batch"],
            f"{one['images_per_second']:.3g}",
            f"{one['seconds']:.3g}",
            f"{one['seconds_in_steps']:.3g}",
            _NONE if one["flops_per_second"] is None else f"{one['flops_per_second'] / 1e12:.3g}",
            _NONE if one["share_of_peak"] is None else f"{one['share_of_peak']:.1%}",
            _NONE if one["peak_memory"] is None else f"{one['peak_memory'] / 1e9:.3g}",
        ]
        for one in batches
    ]
    return markdown(header, rows)


def batch_rows(
    measured: Sequence[Measured], ends: Mapping[int, float], per_row: int, peak: float
) -> list[dict[str, Any]]:
    """What ``batch_table`` shows, as numbers.

    Operations per second are those of the UNet's steps, without the seconds of reading, encoding and
    decoding; None where these are all that shows.
    """
    rows = []
    for one in measured:
        for timing in one.timings:
            in_steps = max(0.0, timing.seconds - ends[timing.batch])
            flops = one.rows * per_row / in_steps if in_steps else None
            rows.append(
                {
                    "combination": one.combination,
                    "batch": timing.batch,
                    "images_per_second": 1 / timing.seconds,
                    "seconds": timing.seconds,
                    "seconds_in_steps": in_steps,
                    "flops_per_second": flops,
                    "share_of_peak": None if flops is None else flops / peak,
                    "peak_memory": timing.peak,
                }
            )
    return rows


def projection_table(projected: Sequence[Projected], hours: float, steps: int, pictures: int) -> str:
    """Table 1 on one such device, said to be a projection."""
    rows = [[one.combination, f"{one.rows:g}", one.pace_of, f"{one.seconds:.3g}"] for one in projected]
    header = [f"projected, {steps} steps", "rows not shared", "at the pace of", "s/image"]
    text = (
        f"Table 1 at {steps} steps, {pictures} images: {hours:.2g} hours on one such device. A projection: "
        "rows by the plan, time per row as measured, and what is not in the steps for each combination anew."
    )
    return f"{markdown(header, rows)}\n\n{text}"


def no_metrics(family: str, precision: str) -> str:
    """Why what a precision changes in the metrics is left out."""
    return (
        f"What {precision} changes in the metrics is not measured for {family}: the demo world's model is "
        "one of Stable Diffusion 1.x."
    )


def metric_table(changes: pd.DataFrame, precision: str) -> str:
    """What the precision adds to every metric, with the float32 mean in brackets.

    Of the embedded demo world at its own settings, whatever was timed.
    """
    rows = []
    for combination, row in changes.iterrows():
        cells = (f"{row[column, 'change']:+.2g} ({row[column, 'float32']:.4g})" for column in COLUMNS)
        rows.append([combination, *cells])
    return markdown([f"what {precision} changes in the demo's means", *COLUMNS], rows)

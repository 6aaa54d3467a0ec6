"""Columns, units and row order of Table 1, and of the metrics that go beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.metrics import METRICS as REGISTRY
from piebench_eval.metrics import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class TableMetric:
    """A metric's column in a table.

    Attributes:
        key: its name in the published numbers and in table files.
        column: its column in scores.csv.
        title: its heading, in two lines.
        scale: factor from the score to the printed unit.
        better: whether higher or lower values are better.
        family: its group in Table 1's heading; empty if it has none.
    """

    key: str
    column: str
    title: str
    scale: float
    better: Literal["higher", "lower"]
    family: str = ""


_BACKGROUND, _CLIP = "Background preservation", "CLIP similarity"

METRICS = (
    TableMetric("structure_distance", columns.STRUCTURE_DISTANCE, "Struct.\n×10³ ↓", 1e3, "lower"),
    TableMetric("psnr", columns.PSNR, "PSNR\n↑", 1, "higher", _BACKGROUND),
    TableMetric("lpips", columns.LPIPS, "LPIPS\n×10³ ↓", 1e3, "lower", _BACKGROUND),
    TableMetric("mse", columns.MSE, "MSE\n×10⁴ ↓", 1e4, "lower", _BACKGROUND),
    TableMetric("ssim", columns.SSIM, "SSIM\n×10² ↑", 1e2, "higher", _BACKGROUND),
    TableMetric("clip_whole", columns.CLIP_TARGET, "CLIP\nwhole ↑", 1, "higher", _CLIP),
    TableMetric("clip_edit", columns.CLIP_EDIT_PART, "CLIP\nedited ↑", 1, "higher", _CLIP),
)
"""Table 1's."""

METHOD_ORDER = ("p2p", "masactrl", "pnp")
INVERSION_ORDER = ("ddim", "null_text", "negative_prompt", "edit_friendly", "direct")


def metrics_in(found: Iterable[str]) -> tuple[TableMetric, ...]:
    """The metrics among a scores file's columns: Table 1's in its order, then the others in the registry's.

    Columns without a registered metric, such as a missing plugin's, are ignored.
    """
    present = set(found)
    further = present - {metric.column for metric in METRICS}
    return (
        *(metric for metric in METRICS if metric.column in present),
        *(_further_metric(column) for column in REGISTRY.names() if column in further),
    )


def displayed_metrics(metrics: Iterable[TableMetric]) -> tuple[TableMetric, ...]:
    """The metrics that are shown where width is limited: all but the official column not in Table 1."""
    return tuple(metric for metric in metrics if metric.column != columns.CLIP_SOURCE)


def type_label(type_id: str) -> str:
    """The label of an editing type in tables.

    >>> type_label("1"), type_label("12")
    ('1 change object', '12 other')
    """
    return f"{type_id} {TYPE_NAMES.get(type_id, 'other')}"


def type_order(type_id: str) -> tuple[int, str]:
    """Sort key of editing types: by number.

    >>> sorted(["10", "9", "x", "2"], key=type_order)
    ['2', '9', '10', 'x']
    """
    return (int(type_id), "") if type_id.isdecimal() else (10**9, type_id)


def _further_metric(column: str) -> TableMetric:
    metric = REGISTRY.get(column)
    # Table 1 calls the background's PSNR psnr; the scores file's own psnr is that of the whole picture.
    key = f"{column}_everywhere" if column in {known.key for known in METRICS} else column
    arrow = "↑" if metric.better == "higher" else "↓"
    title = f"{metric.title}\n{metric.unit} {arrow}".replace("\n ", "\n")
    return TableMetric(key, column, title, metric.scale, metric.better)


def row_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key of a row with labels: the paper's order first, then by name; reference rows come last."""
    return (
        row.get("inversion") == "",
        _order_of(row.get("method", ""), METHOD_ORDER),
        _order_of(row.get("inversion", row.get("name", "")), INVERSION_ORDER),
        row.get("run", ""),
    )


def _order_of(name: str, known: tuple[str, ...]) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)

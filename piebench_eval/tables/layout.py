"""Columns, units and row order of Table 1, and of the metrics that go beyond it.

Keys are Table 1's names, not those of the scores file: the key ``psnr`` is PSNR outside the mask, the column
``psnr_unedit_part``. The column ``psnr``, of the whole image, has the key ``psnr_everywhere``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from piebench_eval.combination_names import REFERENCES
from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.metrics import METRICS, columns

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


def _table_metric(key: str, column: str, title: str, family: str = "") -> TableMetric:
    metric = METRICS.get(column)
    return TableMetric(key, column, title, metric.scale, metric.better, family)


TABLE_METRICS = (
    _table_metric("structure_distance", columns.STRUCTURE_DISTANCE, "Struct.\n×10³ ↓"),
    _table_metric("psnr", columns.PSNR, "PSNR\n↑", _BACKGROUND),
    _table_metric("lpips", columns.LPIPS, "LPIPS\n×10³ ↓", _BACKGROUND),
    _table_metric("mse", columns.MSE, "MSE\n×10⁴ ↓", _BACKGROUND),
    _table_metric("ssim", columns.SSIM, "SSIM\n×10² ↑", _BACKGROUND),
    _table_metric("clip_whole", columns.CLIP_TARGET, "CLIP\nwhole ↑", _CLIP),
    _table_metric("clip_edit", columns.CLIP_EDIT_PART, "CLIP\nedited ↑", _CLIP),
)
"""Table 1's metrics; their factors and directions are the registry's."""

_NAMES = ("structure", "PSNR", "LPIPS", "MSE", "SSIM", "CLIP whole", "CLIP edited")
METRIC_NAMES = {metric.key: name for metric, name in zip(TABLE_METRICS, _NAMES, strict=True)}
"""Names of Table 1's metrics in a sentence, by their keys, in their order."""

METHOD_ORDER = ("p2p", "masactrl", "pnp")
INVERSION_ORDER = ("ddim", "euler", "null_text", "negative_prompt", "edit_friendly", "direct")


def metrics_in(found: Iterable[str]) -> tuple[TableMetric, ...]:
    """The metrics among a scores file's columns: Table 1's in its order, then the others in the registry's.

    Columns without a registered metric, such as a missing plugin's, are ignored.
    """
    present = set(found)
    further = present - {metric.column for metric in TABLE_METRICS}
    return (
        *(metric for metric in TABLE_METRICS if metric.column in present),
        *(_further_metric(column) for column in METRICS.names() if column in further),
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
    metric = METRICS.get(column)
    # Table 1's keys psnr, lpips, mse and ssim are outside the mask; these columns are of the whole image.
    key = f"{column}_everywhere" if column in {known.key for known in TABLE_METRICS} else column
    arrow = "↑" if metric.better == "higher" else "↓"
    title = f"{metric.title}\n{metric.unit} {arrow}".replace("\n ", "\n")
    return TableMetric(key, column, title, metric.scale, metric.better)


def row_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key of a row with labels: the paper's order first, then by name.

    Rows without an inversion come after the others, editors and folders before references.
    """
    without_inversion = row.get("inversion") == ""
    return (
        without_inversion + (without_inversion and row.get("method") in REFERENCES),
        _order_of(row.get("method", ""), METHOD_ORDER),
        _order_of(row.get("inversion", row.get("name", "")), INVERSION_ORDER),
        row.get("run", ""),
    )


def _order_of(name: str, known: tuple[str, ...]) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)

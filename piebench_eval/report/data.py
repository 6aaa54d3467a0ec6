"""The data of the page's script: names, prompts, scores and means as compact JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.prompts import strip_brackets
from piebench_eval.metrics import METRICS
from piebench_eval.report.links import sample_path
from piebench_eval.tables.layout import type_label, type_order
from piebench_eval.tables.statistics.averages import mean_of
from piebench_eval.tables.statistics.paired_comparison import compare_all_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from piebench_eval.data.sample import Sample
    from piebench_eval.report.content import ReportContent
    from piebench_eval.report.links import Link
    from piebench_eval.tables.layout import TableMetric

_DIGITS = 4
_ESCAPED = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}
_MARKED = re.compile(r"\[([^\[\]]*)\]")

Number = float | int | str | None
"""A number in a table's unit; None for nan, the text ``inf`` or ``-inf`` for infinity."""


def page_data(content: ReportContent, links: Sequence[Link]) -> dict[str, Any]:
    """Collect everything that the page's script shows.

    Args:
        content: what the report shows.
        links: links to the images of each combination, in the same order.

    Returns:
        ``metrics``, ``types``, ``combinations``, ``samples``; ``scores[combination][sample]``, a number per
        metric, or None without a row; ``means[combination][metric]``, mean, low and high;
        ``versus[combination][baseline][metric]``, the mean difference, low, high, and 1 where the combination
        is better, -1 where the baseline is, else 0, or None if they share no image;
        ``byType[combination][type][metric]``; and ``gone``, the pairs without an image file.
    """
    metrics = content.score_table.metrics(every=False)
    types = sorted({sample.type_id for sample in content.samples}, key=type_order)
    return {
        "metrics": [_metric(metric) for metric in metrics],
        "types": [{"id": type_id, "label": type_label(type_id)} for type_id in types],
        "combinations": [
            {**asdict(each), "isEdit": each.is_edit, "view": content.view_of(each), **link.to_json()}
            for each, link in zip(content.combinations, links, strict=True)
        ],
        "samples": [_sample(sample, types.index(sample.type_id)) for sample in content.samples],
        "scores": _scores(content, metrics),
        "means": _means(content, metrics),
        "byType": _by_type(content, metrics, types),
        "versus": _versus(content, metrics),
        "gone": [
            [index, number]
            for index, each in enumerate(content.combinations)
            for number, sample in enumerate(content.samples)
            if (each.name, sample.id) not in content.pictures
        ],
    }


def to_data_script(name: str, data: Any) -> str:
    r"""Write data as a JavaScript constant, in ASCII, that no HTML parser reads as markup.

    >>> to_data_script("DATA", ["</script>"])
    'const DATA = ["\\u003c/script\\u003e"];\n'
    """
    # ASCII alone: neither U+2028 nor half a surrogate pair reaches the file.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return f"const {name} = {text.translate(_ESCAPED)};\n"


def prompt_parts(marked: str) -> list[str]:
    """Split a prompt into alternating plain and marked parts, plain ones first and last.

    >>> prompt_parts("a [white cat] on a mat")
    ['a ', 'white cat', ' on a mat']
    """
    return [strip_brackets(part) for part in _MARKED.split(marked)]


def rounded(value: float) -> Number:
    """A number with four significant digits, as short as JSON allows.

    >>> rounded(11.6543), rounded(250.0), rounded(float("nan")), rounded(float("inf"))
    (11.65, 250, None, 'inf')
    """
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() else short


def _metric(metric: TableMetric) -> dict[str, Any]:
    return {
        "key": metric.key,
        "title": metric.title.replace("\n", " "),
        "higherIsBetter": metric.better == "higher",
        "isOfEdit": "clip" in METRICS.get(metric.column).networks,
    }


def _sample(sample: Sample, type_index: int) -> list[Any]:
    """Id, type, prompts, instruction and path, as an array to save space."""
    return [
        sample.id,
        type_index,
        prompt_parts(sample.marked_source_prompt),
        prompt_parts(sample.marked_target_prompt),
        sample.instruction,
        sample_path(sample),
    ]


def _scores(content: ReportContent, metrics: Sequence[TableMetric]) -> list[list[list[Number] | None]]:
    columns, scales = [metric.column for metric in metrics], np.array([metric.scale for metric in metrics])
    found = []
    for each in content.combinations:
        rows = content.rows_of(each)
        values = rows[columns].to_numpy(dtype=float) * scales
        by_id = dict(zip(rows["id"], values.tolist(), strict=True))
        found.append([_row(by_id.get(sample.id)) for sample in content.samples])
    return found


def _row(values: Sequence[float] | None) -> list[Number] | None:
    return None if values is None else [rounded(value) for value in values]


def _means(content: ReportContent, metrics: Sequence[TableMetric]) -> list[list[list[Number]]]:
    return [
        [
            [rounded(row[key]) for key in (metric.key, f"{metric.key}_low", f"{metric.key}_high")]
            for metric in metrics
        ]
        for row in content.score_table.means.to_dict(orient="records")
    ]


def _versus(content: ReportContent, metrics: Sequence[TableMetric]) -> list[list[list[list[Number]] | None]]:
    tables = compare_all_pairs(content.score_table.rows, metrics)
    names = [each.name for each in content.combinations]
    found: list[list[list[list[Number]] | None]] = []
    for one in names:
        of_one = (tables.get((one, other)) for other in names)
        found.append([None if table is None else _differences(table, one) for table in of_one])
    return found


def _differences(table: pd.DataFrame, one: str) -> list[list[Number]]:
    return [
        [
            *(rounded(row[column]) for column in ("difference", "low", "high")),
            (1 if row["better"] == one else -1) if row["better"] else 0,
        ]
        for row in table.to_dict(orient="records")
    ]


def _by_type(
    content: ReportContent, metrics: Sequence[TableMetric], types: Sequence[str]
) -> list[list[list[Number]]]:
    type_of = {sample.id: sample.type_id for sample in content.samples}
    found = []
    for each in content.combinations:
        rows = content.rows_of(each)
        of_type = rows["id"].map(type_of)
        found.append([_type_means(content, rows[of_type == type_id], metrics) for type_id in types])
    return found


def _type_means(content: ReportContent, rows: pd.DataFrame, metrics: Sequence[TableMetric]) -> list[Number]:
    return [
        rounded(mean_of(rows[metric.column].to_numpy(dtype=float), metric, content.score_table.rules))
        for metric in metrics
    ]

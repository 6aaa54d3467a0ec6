"""Tables as LaTeX, in the manner of the paper's Table 1."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from piebench_eval.metrics import METRICS as REGISTRY
from piebench_eval.tables.formats.cells import HEADINGS, cell, is_number_column, rows_of
from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.layout import metrics_in

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    import pandas as pd

    from piebench_eval.tables.formats.marks import Marks
    from piebench_eval.tables.layout import TableMetric

_NEEDS = (
    r"Needs \usepackage{booktabs} and nothing else. It is UTF-8: if a name has letters that pdflatex does "
    r"not know, compile it by xelatex or lualatex with a font that has them."
)
_COMMANDS = {Mark.BEST: r"\textbf", Mark.SECOND: r"\underline"}
_ESCAPES = str.maketrans(
    {
        "_": r"\_",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        # LaTeX's oldest font encoding, still the default, has other signs in these places.
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # At the start of a row, the end of the row before would take these for its own options.
        "[": "{[}",
        "]": "{]}",
        "*": "{*}",
    }
)
_ARROWS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
_POWER = re.compile("×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_EXPONENT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def to_latex(table: pd.DataFrame, remarks: Sequence[str], marks: Marks, sections: Sequence[Hashable]) -> str:
    """Write a table as a ``tabular`` that compiles as it is, with remarks as comments above it.

    Args:
        table: labels and numbers; columns and cells called like a metric get its heading.
        remarks: lines for the reader.
        marks: what is bold or underlined.
        sections: what each row is of; a rule stands wherever it changes.
    """
    metrics = {metric.key: metric for metric in metrics_in(REGISTRY.names())}
    alignment = "".join("r" if is_number_column(table[column]) else "l" for column in table.columns)
    lines = [
        *(f"% {' '.join(text.split())}" for text in (_NEEDS, *remarks)),
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        *_families([metrics.get(column) for column in table.columns]),
        *_headings(list(table.columns), metrics),
        r"\midrule",
        *_body(table, marks, sections, metrics),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Text that LaTeX prints as it is; white space becomes single spaces.

    >>> escape("50% of a_b\n--x")
    '50\\% of a\\_b -{}-x'
    """
    return re.sub("-(?=-)", "-{}", " ".join(text.split()).translate(_ESCAPES))


def maths(heading: str) -> str:
    r"""A metric's heading, its unit and direction as formulas.

    >>> maths("MSE\n×10⁴ ↓")
    'MSE $\\times 10^4$ $\\downarrow$'
    """
    text = _POWER.sub(_power, escape(heading))
    for arrow, formula in _ARROWS.items():
        text = text.replace(arrow, formula)
    return text


def _power(found: re.Match[str]) -> str:
    exponent = found[1].translate(_EXPONENT)
    return rf"$\times 10^{exponent}$" if len(exponent) == 1 else rf"$\times 10^{{{exponent}}}$"


def _families(metrics: Sequence[TableMetric | None]) -> list[str]:
    """The upper line of Table 1's heading with the rules below it; nothing for other tables."""
    cells, rules, first = [], [], 1
    for family, columns in groupby(metrics, lambda metric: metric.family if metric else ""):
        last = first + len(list(columns)) - 1
        cells.append(rf"\multicolumn{{{last - first + 1}}}{{c}}{{{family}}}")
        rules += [rf"\cmidrule(lr){{{first}-{last}}}"] if family else []
        first = last + 1
    return [_row(cells), " ".join(rules)] if rules else []


def _headings(columns: Sequence[str], metrics: Mapping[str, TableMetric]) -> list[str]:
    """Headings in as many lines as the highest has, standing on the rule below them."""
    stacks = [
        [maths(line) for line in metrics[column].title.splitlines()]
        if column in metrics
        else [escape(HEADINGS.get(column, column))]
        for column in columns
    ]
    height = max(map(len, stacks))
    padded = ([""] * (height - len(stack)) + stack for stack in stacks)
    return [_row(line) for line in zip(*padded, strict=True)]


def _body(
    table: pd.DataFrame, marks: Marks, sections: Sequence[Hashable], metrics: Mapping[str, TableMetric]
) -> list[str]:
    lines = []
    for place, row in enumerate(rows_of(table)):
        if place and sections[place] != sections[place - 1]:
            lines.append(r"\midrule")
        cells = [
            _marked(_cell(column, value, metrics), marks.get((place, column)))
            for column, value in row.items()
        ]
        lines.append(_row(cells))
    return lines


def _marked(text: str, mark: Mark | None) -> str:
    return f"{_COMMANDS[mark]}{{{text}}}" if mark in _COMMANDS else text


def _cell(column: str, value: object, metrics: Mapping[str, TableMetric]) -> str:
    if isinstance(value, float | int):  # in text, a hyphen is no minus
        return cell(value).replace("-", "$-$").replace("inf", r"$\infty$")
    if column == "metric" and value in metrics:
        return maths(metrics[str(value)].title)
    return escape(cell(value))


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"

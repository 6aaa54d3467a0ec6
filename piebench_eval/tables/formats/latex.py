"""Tables as LaTeX in the layout of the paper's Table 1: pandas' Styler with booktabs rules."""

from __future__ import annotations

import re
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import pandas as pd

from piebench_eval.metrics import METRICS
from piebench_eval.tables.formats.cells import HEADINGS, cell, is_number_column
from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.layout import metrics_in

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from piebench_eval.tables.formats.marks import Marks
    from piebench_eval.tables.layout import TableMetric

_NEEDS = (
    r"Needs \usepackage{booktabs} and nothing else. It is UTF-8: if a name has letters that pdflatex does "
    r"not know, compile it by xelatex or lualatex with a font that has them."
)
_STYLES = {
    Mark.BEST: "textbf:--rwrap;",
    Mark.SECOND: "underline:--rwrap;",
    Mark.FAULTY: "textit:--rwrap;",
}
# Styler's own escape leaves <, >, |, leading brackets and stars, and dashes, which LaTeX reads otherwise.
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
        # LaTeX's default font encoding prints other signs for these.
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # At the start of a row, the preceding \\\\ would read these as its options.
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
        marks: numbers to print bold, underlined or, if they cannot be true, in italics.
        sections: a key per row, with a rule wherever it changes.
    """
    metrics = {metric.key: metric for metric in metrics_in(METRICS.names())}
    styler = table.reset_index(drop=True).style.hide(axis="index").hide(axis="columns")
    styler.format({column: partial(_cell, column, metrics=metrics) for column in table.columns})
    styler.apply(lambda body: _styles(body, marks), axis=None)
    alignment = "".join("r" if is_number_column(table[column]) else "l" for column in table.columns)
    begin, toprule, midrule, *body = styler.to_latex(column_format=alignment, hrules=True).splitlines()
    heading = [*_families(table.columns, metrics), *_headings(table.columns, metrics)]
    comments = (f"% {' '.join(text.split())}" for text in (_NEEDS, *remarks))
    return "\n".join([*comments, begin, toprule, *heading, midrule, *_in_sections(body, sections), ""])


def escape(text: str) -> str:
    r"""Escape text for LaTeX; white space becomes single spaces.

    >>> escape("50% of a_b\n--x")
    '50\\% of a\\_b -{}-x'
    """
    return re.sub("-(?=-)", "-{}", " ".join(text.split()).translate(_ESCAPES))


def maths(heading: str) -> str:
    r"""Escape a metric's heading, with unit and direction as formulas.

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


def _styles(body: pd.DataFrame, marks: Marks) -> pd.DataFrame:
    styles = pd.DataFrame("", index=body.index, columns=body.columns)
    for (row, column), mark in marks.items():
        styles.loc[row, column] = _STYLES.get(mark, "")
    return styles


def _cell(column: str, value: object, metrics: Mapping[str, TableMetric]) -> str:
    if isinstance(value, float | int):  # a hyphen in text is not a minus sign
        return cell(value).replace("-", "$-$").replace("inf", r"$\infty$")
    if column == "metric" and value in metrics:
        return maths(metrics[str(value)].title)
    return escape(cell(value))


# The heading is ours: Styler has no rules below a group of columns, and merges equal headings in all lines.
def _families(columns: Iterable[str], metrics: Mapping[str, TableMetric]) -> list[str]:
    """The line of metric families above Table 1's headings, with its rules; empty without families."""
    cells, rules, first = [], [], 1
    families = (metrics[column].family if column in metrics else "" for column in columns)
    for family, group in groupby(families):
        last = first + len(list(group)) - 1
        cells.append(rf"\multicolumn{{{last - first + 1}}}{{c}}{{{family}}}")
        rules += [rf"\cmidrule(lr){{{first}-{last}}}"] if family else []
        first = last + 1
    return [_row(cells), " ".join(rules)] if rules else []


def _headings(columns: Iterable[str], metrics: Mapping[str, TableMetric]) -> list[str]:
    """The lines of the headings, aligned at the bottom."""
    stacks = [
        [maths(line) for line in metrics[column].title.splitlines()]
        if column in metrics
        else [escape(HEADINGS.get(column, column))]
        for column in columns
    ]
    height = max(map(len, stacks))
    padded = ([""] * (height - len(stack)) + stack for stack in stacks)
    return [_row(line) for line in zip(*padded, strict=True)]


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _in_sections(body: Sequence[str], sections: Sequence[Hashable]) -> Iterator[str]:
    """Insert rules between sections; Styler's own rules need a visible index and are not booktabs."""
    for row, line in enumerate(body):
        if 0 < row < len(sections) and sections[row] != sections[row - 1]:
            yield r"\midrule"
        yield line

"""Tables as text: CSV, Markdown, LaTeX, JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from piebench_eval.tables.formats.cells import json_number
from piebench_eval.tables.formats.latex import to_latex
from piebench_eval.tables.formats.markdown import to_markdown
from piebench_eval.tables.formats.marks import by_combination

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from piebench_eval.tables.formats.marks import Marks


def to_text(
    table: pd.DataFrame,
    text_format: str,
    remarks: Sequence[str] = (),
    marks: Marks | None = None,
    sections: Sequence[Hashable] | None = None,
) -> str:
    """Write a table in one of the text formats.

    Args:
        table: any table of labels and numbers.
        text_format: ``csv`` or ``json``, which keep all digits (in json, an infinite number is the text
            ``inf``, and missing values are null); ``markdown`` or ``latex``, which round.
        remarks: lines for the reader; part of json, behind the table in markdown, comments in latex, left
            out of csv.
        marks: numbers to highlight in markdown and latex.
        sections: a key per row, for latex, which has a rule wherever it changes; by default the combination.
    """
    if text_format == "csv":
        return table.to_csv(index=False)
    if text_format == "json":
        rows = [
            {str(column): json_number(value) for column, value in row.items()}
            for row in table.to_dict(orient="records")
        ]
        whole = {"rows": rows, "remarks": list(remarks)}
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if text_format == "markdown":
        return to_markdown(table, remarks, marks or {})
    return to_latex(table, remarks, marks or {}, by_combination(table) if sections is None else sections)

"""Tables as text: CSV, Markdown, LaTeX, JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


_DECIMALS = 2


def to_text(table: pd.DataFrame, text_format: str, remarks: Sequence[str] = ()) -> str:
    """Write a table in one of the text formats.

    Args:
        table: any table of labels and numbers.
        text_format: ``csv`` or ``json``, which keep all digits; ``markdown`` or ``latex``, which round.
        remarks: lines for the reader; part of json, behind the table in markdown, comments in latex, left
            out of csv.
    """
    if text_format == "csv":
        return table.to_csv(index=False)
    if text_format == "json":
        rows = json.loads(table.to_json(orient="records"))
        return json.dumps({"rows": rows, "remarks": list(remarks)}, indent=1, ensure_ascii=False) + "\n"
    if text_format == "markdown":
        body = table.to_markdown(index=False, floatfmt=f".{_DECIMALS}f", missingval="")
        return "\n".join([body, *(f"\n{remark}" for remark in remarks)]) + "\n"
    body = table.to_latex(index=False, escape=True, float_format=f"%.{_DECIMALS}f", na_rep="")
    return "".join([*(f"% {remark}\n" for remark in remarks), body])


def cell(value: object) -> str:
    """A cell as a terminal shows it."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.{_DECIMALS}f}"
    return str(value)

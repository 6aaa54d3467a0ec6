"""Published numbers of Table 1, with their errata."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

PAPERS = "(paper)"
"""Value of the column ``run`` in the paper's rows; parentheses distinguish it from a folder's name."""

_RERUN = "run again in "


def published_run(printed_in: str | None, model: str | None = None) -> str:
    """The column ``run`` of a published row beyond Table 1.

    Args:
        printed_in: who ran the method again; None for its authors.
        model: the model, where it has to be said.

    >>> published_run("DNAEdit", "sdxl-turbo"), published_run(None), published_run(None, "sdxl-turbo")
    ('(run again in DNAEdit, sdxl-turbo)', '(paper)', '(paper, sdxl-turbo)')
    """
    parts = [f"{_RERUN}{printed_in}" if printed_in else PAPERS.strip("()"), *([model] if model else [])]
    return f"({', '.join(parts)})"


def is_published(run: str) -> bool:
    """Whether a value of the column ``run`` is a published row's.

    >>> [is_published(run) for run in (PAPERS, published_run("DNAEdit"), "paper")]
    [True, True, False]
    """
    return run.endswith(")") and run.startswith((PAPERS[:-1], f"({_RERUN}"))


def load_published() -> pd.DataFrame:
    """Load the numbers of the paper and of a published reproduction, in printed units, with errata applied.

    Returns:
        Columns inversion, method, metric, paper, report (nan where a source has no such row) and erratum
        (what was corrected, else empty).
    """
    folder = files(__package__) / "csv"
    with (folder / "table1.csv").open(encoding="utf-8") as stream:
        table = pd.read_csv(stream)
    with (folder / "errata.csv").open(encoding="utf-8") as stream:
        errata = pd.read_csv(stream)
    table["erratum"] = ""
    keys = ["inversion", "method", "metric"]
    table = table.set_index(keys)
    for erratum in errata.to_dict(orient="records"):
        row = tuple(erratum[key] for key in keys)
        table.at[row, erratum["column"]] = erratum["corrected"]
        table.at[row, "erratum"] = f"{erratum['corrected']} for {erratum['printed']}: {erratum['note']}"
    return table.reset_index()[[*keys, "paper", "report", "erratum"]]

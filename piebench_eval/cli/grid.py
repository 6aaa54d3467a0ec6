"""Tables on the terminal, none of whose cells is cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def print_grid(shown: pd.DataFrame, titles: Mapping[str, str]) -> None:
    """Print a table as wide as it is: what does not fit an 80-column terminal is left to it to wrap.

    Args:
        shown: labels first, then numbers.
        titles: headings of the metrics, by key.
    """
    from rich.measure import Measurement

    from piebench_eval.tables.terminal import to_grid

    grid = to_grid(shown, titles)
    out.width = max(out.width, Measurement.get(out, out.options.update(max_width=10_000), grid).maximum)
    out.print(grid, crop=False)

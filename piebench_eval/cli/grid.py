"""Tables on the terminal, none of whose cells is cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import pandas as pd

    from piebench_eval.tables.formats.marks import Marks


def print_grid(
    shown: pd.DataFrame,
    titles: Mapping[str, str],
    marks: Marks | None = None,
    sections: Sequence[Hashable] | None = None,
) -> None:
    """Print a table as wide as it is: what does not fit an 80-column terminal is left to it to wrap.

    Args:
        shown: labels first, then numbers.
        titles: headings of the metrics, by key.
        marks: what is bold, underlined or coloured.
        sections: what each row is of, see ``to_grid``.
    """
    from rich.measure import Measurement

    from piebench_eval.tables.formats.terminal import to_grid

    grid = to_grid(shown, titles, marks, sections)
    out.width = max(out.width, Measurement.get(out, out.options.update(max_width=10_000), grid).maximum)
    out.print(grid, crop=False)

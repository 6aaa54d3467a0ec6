"""Tables on terminals of any width: no letter of a name is lost."""

import pytest
from rich.box import SIMPLE_HEAD
from rich.table import Table

from piebench_eval.cli.console import out
from piebench_eval.cli.grid import print_names_and_marks

NAMES = ("rf-solver-edit-flux", "rf_solver+feature_sharing")


@pytest.mark.parametrize(("width", "lines_of_names"), [(120, 1), (60, 2)])
def test_a_narrow_terminal_gets_folded_names_not_cut_ones(width, lines_of_names, monkeypatch, capsys):
    monkeypatch.setattr(out, "width", width)
    table = Table("run", "combination", box=SIMPLE_HEAD)
    for title in ("missing\nedits", "NFE\nto compute", "time"):
        table.add_column(title, justify="right")
    table.add_row(*NAMES, "700", "33600", "unknown")
    print_names_and_marks(table)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= width and any("to compute" in line for line in printed)
    rule = next(number for number, line in enumerate(printed) if "─" in line)
    rows = [line for line in printed[rule + 1 :] if line.strip()]
    assert len(rows) == lines_of_names
    letters = sorted("".join(rows).replace(" ", ""))
    assert letters == sorted("".join((*NAMES, "700", "33600", "unknown")))

"""Tables as a terminal and Markdown show them."""

import io

import pandas as pd
import pytest
from rich.console import Console

from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.formats.terminal import to_grid
from piebench_eval.tables.formats.text import to_text


def ansi(table, **options):
    """A table as it goes to a terminal with colours."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system="standard", width=100)
    console.print(to_grid(table, {}, **options))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mark", "code"), [(Mark.BEST, 1), (Mark.SECOND, 4), (Mark.AGREES, 32), (Mark.DIFFERS, 31)]
)
def test_a_mark_is_a_style_of_the_number_alone(mark, code):
    table = pd.DataFrame({"name": ["mine", "yours"], "psnr": [9.0, 1000.0]})
    assert f"\x1b[{code}m9.00\x1b[0m" in ansi(table, marks={(0, "psnr"): mark})
    assert f"\x1b[{code}m" not in ansi(table).split("─")[-1]


def test_a_gap_stands_wherever_the_section_changes():
    table = pd.DataFrame({"name": ["one", "two", "three"]})
    lines = [line.strip() for line in ansi(table, sections=["a", "a", "b"]).splitlines()]
    start = lines.index("one")
    assert lines[start : start + 4] == ["one", "two", "", "three"]


def test_a_comparison_has_its_tolerance_and_its_interval_beside_it():
    table = pd.DataFrame({"difference": [1.5], "tolerance": [0.5], "inside_interval": [True]})
    printed = ansi(table)
    assert all(word in printed for word in ("diff.", "tolerance", "0.50", "inside", "interval", "yes"))


def test_markdown_marks_the_best_and_leaves_other_marks_to_words():
    table = pd.DataFrame({"name": ["a", "b", "c"], "psnr": [3.0, 2.0, 1.0]}).assign(
        inside_interval=pd.array([True, False, None], dtype="boolean")
    )
    marks = {(0, "psnr"): Mark.BEST, (1, "psnr"): Mark.SECOND, (2, "psnr"): Mark.AGREES}
    lines = to_text(table, "markdown", marks=marks).replace(" ", "").splitlines()
    assert lines[0] == "|name|psnr|insideinterval|"
    assert lines[2:] == ["|a|**3.00**|yes|", "|b|<u>2.00</u>|no|", "|c|1.00||"]


def test_markdown_leaves_names_as_they_are():
    table = pd.DataFrame({"name": ["007", "0.125", "a|b", "two\nlines"]})
    cells = [line.strip("| ") for line in to_text(table, "markdown").splitlines()[2:]]
    assert cells == ["007", "0.125", "a\\|b", "two lines"]

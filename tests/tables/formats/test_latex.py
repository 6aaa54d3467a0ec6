"""Tables as LaTeX."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from piebench_eval.tables.formats.latex import escape
from piebench_eval.tables.formats.marks import Mark, by_method, rank_marks
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.layout import TABLE_METRICS

HOSTILE = r"a_b & 50% #1 $x$ ~ ^ \end{tabular} {z"
PAIRS = [("p2p", "ddim"), ("p2p", "direct"), ("pnp", "direct"), ("[a]", HOSTILE), ("*", "--x<y>|"), ("o", "")]
REMARKS = ["two\nlines \\end{document}", "old\rMac\u2028and more", "50% & more"]


def means():
    table = pd.DataFrame(PAIRS, columns=["method", "inversion"]).assign(images=700)
    return table.assign(**{m.key: [20.0, 25.0, -30.0, np.nan, 1.0, np.inf] for m in TABLE_METRICS})


def latex():
    table = means()
    return to_text(table, "latex", REMARKS, rank_marks(table, TABLE_METRICS), by_method(table))


def rows(text):
    return [line for line in text.splitlines() if line.endswith(r"\\")]


def test_headings_are_table_1s_with_units_as_formulas():
    families, upper, lower = rows(latex())[:3]
    assert families == (
        r"\multicolumn{4}{c}{} & \multicolumn{4}{c}{Background preservation} & "
        r"\multicolumn{2}{c}{CLIP similarity} \\"
    )
    assert r"\cmidrule(lr){5-8} \cmidrule(lr){9-10}" in latex()
    assert upper == r" &  &  & Struct. & PSNR & LPIPS & MSE & SSIM & CLIP & CLIP \\"
    assert lower.startswith(r"method & inversion & images & $\times 10^3$ $\downarrow$ & $\uparrow$ & ")


def test_a_heading_may_have_several_lines():
    text = to_text(pd.DataFrame({"two\nlines": ["a"], "psnr": [1.0]}), "latex", [], {}, ["a"])
    assert rows(text)[-1].startswith("a & ") and not any(line.startswith("lines &") for line in rows(text))
    assert text.count(r"\midrule") == 1


def test_rules_stand_between_editing_methods():
    lines = latex().splitlines()
    assert [lines[i + 1].split(" & ")[0] for i, line in enumerate(lines) if line == r"\midrule"] == [
        "p2p",
        "pnp",
        "{[}a{]}",
        "{*}",
        "o",
    ]


def test_best_and_second_best_are_bold_and_underlined():
    psnr = [row.split(" & ")[4] for row in rows(latex())[3:5]]
    assert psnr == [r"\underline{20.00}", r"\textbf{25.00}"]


def test_numbers_have_a_minus_and_an_infinity_and_gaps_stay_empty():
    assert [row.split(" & ")[-2] for row in rows(latex())[5:]] == ["$-$30.00", "", "1.00", r"$\infty$"]


def test_remarks_stay_comments_whatever_they_hold():
    above = latex()[: latex().index(r"\begin{tabular}")]
    assert all(line.startswith("% ") for line in above.splitlines())
    assert "% two lines \\end{document}\n" in above and r"\usepackage{booktabs}" in above


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"_&%#${}", r"\_\&\%\#\$\{\}"),
        ("\\~^", r"\textbackslash{}\textasciitilde{}\textasciicircum{}"),
        ("---", "-{}-{}-"),
        ("ä 中", "ä 中"),
        ("a\n\tb", "a b"),
    ],
)
def test_escapes(text, escaped):
    assert escape(text) == escaped


def test_a_long_table_says_metrics_in_its_cells():
    table = pd.DataFrame({"metric": ["mse"], "measured": [1.5], "inside_interval": [True]})
    text = to_text(table, "latex", marks={(0, "measured"): Mark.AGREES})
    assert rows(text) == [
        r"metric & measured & inside interval \\",
        r"MSE $\times 10^4$ $\downarrow$ & 1.50 & yes \\",
    ]


def test_columns_that_are_no_metrics_are_escaped():
    assert rows(to_text(pd.DataFrame({"method.blend_start": ["0.5"]}), "latex")) == [
        r"method.blend\_start \\",
        r"0.5 \\",
    ]


@pytest.mark.latex
@pytest.mark.parametrize("engine", ["pdflatex", "lualatex", "xelatex"])
def test_it_compiles_as_it_is(tmp_path, engine):
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
    accented = means().replace("p2p", "ä_p2p")
    tables = [latex(), to_text(accented, "latex", REMARKS)]
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    document = preamble + "\n\n".join(tables) + "\\end{document}\n"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = [engine, "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "table.pdf").stat().st_size > 0

"""Tables of papers as they are written: headings, markup, spans and units."""

from decimal import Decimal

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.lint.check import lint_table
from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.reading.files import read_tables
from piebench_eval.lint.reading.headings import read_heading
from piebench_eval.lint.references import reference_rows

P2P = {"structure_distance": "69.43", "psnr": "17.87", "lpips": "208.80", "mse": "219.88", "ssim": "71.14"}
P2P |= {"clip_whole": "25.01", "clip_edit": "22.44"}

PAPER = r"""
\newcommand{\ours}{NewEdit}
\newcommand{\best}[1]{\textbf{#1}}
\begin{table*}[t]
\caption{Results \cite{x}}
\resizebox{\linewidth}{!}{
\begin{tabular}{c|c|c|cccc|cc}  % seven metrics & two labels
\toprule
\multicolumn{2}{c|}{\textbf{Method}} & \textbf{Structure}
 & \multicolumn{4}{c|}{\textbf{Background Preservation}} & \multicolumn{2}{c}{\textbf{CLIP Similarity}} \\
\cmidrule(lr){1-2}\cmidrule(lr){3-3}
Inverse & Editing & Distance$_{^{\times10^3}}$ $\downarrow$ & PSNR $\uparrow$
 & LPIPS$_{^{\times 10^3}}$ $\downarrow$ & MSE$_{^{\times 10^4}}$ $\downarrow$
 & SSIM$_{^{\times 10^2}}$ $\uparrow$ & Whole $\uparrow$ & Edited $\uparrow$ \\
\midrule
DDIM & \multirow{2}{*}{P2P~\cite{p2p}} & 69.43 & 17.87 & 208.80
 & $\mathbf{219.88}$ & {\bf 71.14} & 25.01 & 22.44\\
NT & & 13.44 & \underline{27.03} & \best{60.67}$_{\pm 0.2}$ & 35.86 & 84.11 & 24.75 & -- \\ \hline
\multicolumn{9}{c}{\textit{FLUX.1-dev}}\\
\rowcolor{gray!20} & \ours{} (Ours) & 10.1 & 26.9 & 60.2 & 33.3 & 84.0 & 25.5 & \textcolor{red}{22.5} \\[2pt]
\bottomrule
\end{tabular}}
\end{table*}
"""

README = r"""
| Method | Structure Distance$_{x10^3}$ | PSNR &uarr; | LPIPS<sup>x10<sup>3</sup></sup> | MSE ×1e4 | NFE |
|:--|--:|--:|--:|--:|--:|
| [P2P](https://x.y) | 69.43 | **17.87** | <u>208.80</u> | 219.88 ± 0.1 | 100 |
| Other | 10.0 | 26.9 (+0.1) | 60.2 / 3 | - | 4 |
"""


@pytest.fixture
def read(tmp_path):
    def read(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_tables(tmp_path / name)

    return read


def texts(row):
    return {key: value.text for key, value in row.values.items()}


def test_a_papers_latex_table(read):
    (table,) = read("paper.tex", PAPER)
    assert [(row.name, row.model, row.line) for row in table.rows] == [
        ("DDIM + P2P", "", 16),
        ("NT + P2P", "", 18),
        ("NewEdit (Ours)", "FLUX.1-dev", 20),
    ]
    assert texts(table.rows[0]) == P2P
    assert texts(table.rows[1]) == {
        "structure_distance": "13.44", "psnr": "27.03", "lpips": "60.67", "mse": "35.86", "ssim": "84.11",
        "clip_whole": "24.75",
    }  # fmt: skip
    assert {key: column.power for key, column in table.columns.items()} == {
        key: quantity.power for key, quantity in QUANTITIES.items()
    }
    assert table.columns["lpips"].heading == "Background Preservation LPIPS ×10^3 ↓"
    assert table.remarks == ()


def test_a_readmes_markdown_table_and_what_is_not_read_of_it(read):
    (table,) = read("README.md", README)
    assert texts(table.rows[0]) == {key: P2P[key] for key in ("structure_distance", "psnr", "lpips", "mse")}
    assert texts(table.rows[1]) == {"structure_distance": "10.0", "psnr": "26.9"}
    assert (table.rows[0].name, table.rows[0].line) == ("P2P", 4)
    assert table.remarks == (
        "columns that are not read: NFE",
        "cells that hold no single number: line 5: '60.2 / 3'",
    )


def test_an_html_table_in_a_readme(read):
    (table,) = read(
        "README.md",
        """<table><tr><th rowspan="2">Inverse</th><th rowspan=2>Method</th><th colspan="2">Region</th></tr>
        <tr><th>PSNR &uarr;</th><th>MSE<sub>&times;10<sup>4</sup></sub></th></tr>
        <tr><td>DDIM<td rowspan="2"><a href="x">P2P</a><td><b>17.87</b><td>219.88</tr>
        <tr><td>Direct</td><td>27.22</td><td>32.86</td></tr></table>""",
    )
    assert [(row.name, texts(row)) for row in table.rows] == [
        ("DDIM + P2P", {"psnr": "17.87", "mse": "219.88"}),
        ("Direct + P2P", {"psnr": "27.22", "mse": "32.86"}),
    ]
    assert table.columns["mse"].power == 4
    assert [row.line for row in table.rows] == [3, 4]


def test_a_csv_table_with_units_of_its_own(read):
    (table,) = read(
        "t.csv",
        "# made by hand\nmethod;inversion;images;structure_distance;psnr;lpips;mse;ssim;clip_whole\n"
        "p2p;ddim;700;0.06943;17.87;0.2088;0.021988;0.7114;0.2501\nx;;620;0.01;inf;0.05;0;0.9;nan\n",
    )
    assert (table.rows[0].name, table.rows[0].images, table.rows[0].line) == ("ddim + p2p", 700, 3)
    numbers = {key: value.number for key, value in table.rows[0].values.items()}
    assert numbers == {key: Decimal(P2P[key]) for key in numbers}
    assert table.rows[0].values["lpips"].half == Decimal("0.05")
    assert set(table.rows[1].values) == {"structure_distance", "lpips", "mse", "ssim"}


def test_decimal_commas_between_semicolons(read):
    (table,) = read("t.csv", "method;PSNR;MSE\nA;27,0;0,0030\nB;22,43;\n")
    assert [row.values["psnr"].text for row in table.rows] == ["27.0", "22.43"]
    assert float(table.rows[0].values["mse"].number) == 30


def test_a_long_table_gives_a_table_for_each_column_of_values(read):
    tables = read(
        "t.csv",
        "inversion,method,metric,scale,paper,report\nddim,p2p,psnr,1,17.87,17.85\nddim,p2p,mse,1e4,219.88,\n",
    )
    assert [table.title.rpartition(" ")[2] for table in tables] == ["(paper)", "(report)"]
    assert [texts(table.rows[0]) for table in tables] == [
        {"psnr": "17.87", "mse": "219.88"},
        {"psnr": "17.85"},
    ]
    assert tables[0].rows[0].values["mse"].line == 3


@pytest.mark.parametrize(("corner", "above"), [("PSNR ↑", ""), ("Method", "PSNR (dB)")])
def test_a_column_per_editing_type_gives_a_row_for_each(read, corner, above):
    types = [
        "Random",
        "Change Object",
        "Add",
        "Delete",
        "Content",
        "Pose",
        "Color",
        "Material",
        "Background",
        "Style",
    ]
    numbers = [
        "20.00",
        "21.00",
        "22.00",
        "23.00",
        "24.00",
        "25.00",
        "26.00",
        "27.00",
        "18.00",
        "19.00",
        "22.50",
    ]
    group = rf" & \multicolumn{{11}}{{c}}{{{above}}} \\" if above else ""
    heading, row = " & ".join([corner, *types, "Avg."]), " & ".join(["P2P", *numbers])
    (table,) = read("t.tex", rf"\begin{{tabular}}{{lc}}{group} {heading} \\ {row} \\ \end{{tabular}}")
    assert [(one.type, texts(one)["psnr"]) for one in table.rows] == [
        *((str(number), numbers[number]) for number in range(10)),
        ("", "22.50"),
    ]
    (finding,) = lint_table(table)
    assert (finding.rule, finding.row) == ("mean-of-categories", "P2P")


def test_rows_of_several_sources_are_tables_of_their_own(read):
    tables = read("t.csv", "method,psnr,ssim,source\na,20,80,First\nb,21,81,Second\nc,22,82,First\n")
    assert [[row.name for row in table.rows] for table in tables] == [["a", "c"], ["b"]]


@pytest.mark.parametrize("output", ["csv", "markdown", "latex"])
def test_the_packages_own_tables_are_read(read, output):
    import pandas as pd

    from piebench_eval.tables.formats.text import to_text

    edits = {"method": "p2p", "inversion": "ddim", "images": 700, **{key: float(P2P[key]) for key in P2P}}
    copy = {"method": "source-copy", "inversion": "", "images": 700, "psnr": float("inf"), "clip_whole": 20.5}
    table = pd.DataFrame([edits, copy])
    ending = {"csv": "csv", "markdown": "md", "latex": "tex"}[output]
    (read_back,) = read(f"t.{ending}", to_text(table, output, ["a remark | of one line"]))
    assert [row.name for row in read_back.rows] == ["ddim + p2p", "source-copy"]
    assert [row.images for row in read_back.rows] == [700, 700]
    numbers = {key: value.number for key, value in read_back.rows[0].values.items()}
    assert numbers == {key: Decimal(text) for key, text in P2P.items()}
    assert texts(read_back.rows[1]) == {"clip_whole": "20.50" if output != "csv" else "20.5"}


HEADINGS = {
    "structure_distance": [
        "Structure Distance_{x10^3}",
        "Struct. Dist. ×10³",
        "Structure | Distance ↓",
        "DINO Dist.",
    ],
    "psnr": ["PSNR ↑", "PSNR (dB)", "Unedited Region PSNR", "BG-PSNR"],
    "lpips": [r"LPIPS^{\times 10^3}", "LPIPS_(x1000) ↓", "LPIPS"],
    "mse": ["MSE ×10⁴", "BG MSE", "MSE_{10^4}"],
    "ssim": ["SSIM (%)", "SSIM ×10^2 ↑", "Structural Similarity"],
    "clip_whole": ["Whole", "CLIP Whole ↑", "CLIP-W", "CLIP Similarity Whole Image"],
    "clip_edit": ["Edited", "CLIP Edited Region", "CLIP_edit", "CLIP-E ↑"],
    "": [
        "MS-SSIM",
        "CLIP-I",
        "psnr_sem",
        "psnr_everywhere",
        "lpips_vgg_unedit_part",
        "Time (s)",
        "DINO-I",
        "CLIP",
    ],
}


@pytest.mark.parametrize(
    ("key", "text"), [(key, text) for key, all_texts in HEADINGS.items() for text in all_texts]
)
def test_headings_in_the_spellings_of_papers(key, text):
    assert read_heading(text).key == key


@pytest.mark.parametrize(
    ("text", "power"),
    [
        ("LPIPS×10³", 3),
        ("MSE^{× 10^4}", 4),
        ("MSE (1e-4)", 4),
        ("LPIPS_x1000", 3),
        ("SSIM %", 2),
        ("SSIM", None),
    ],
)
def test_units_in_headings(text, power):
    assert read_heading(text).power == power


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.pdf", "", "is none of .csv"),
        ("t.md", "no table here", "has no table"),
        ("t.csv", "name,time\na,3\n", "no column of a metric.*first headings are name, time"),
        ("t.csv", 'name,psnr\n"a,3\n', "is not a CSV file"),
    ],
)
def test_files_without_tables_are_refused_with_the_reason(read, name, text, message):
    with pytest.raises(PiebenchError, match=message):
        read(name, text)


def test_a_file_that_is_missing_or_not_utf8_is_refused(tmp_path):
    with pytest.raises(PiebenchError, match="no such file"):
        read_tables(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"name,psnr\n\xff,3\n")
    with pytest.raises(PiebenchError, match="is not UTF-8"):
        read_tables(tmp_path / "t.csv")


def test_published_rows_keep_their_digits():
    assert texts(next(row for row in reference_rows() if row.name == "DDIM + P2P")) == P2P

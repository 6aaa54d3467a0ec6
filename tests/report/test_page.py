"""The page without its script."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from piebench_eval.report import paths
from piebench_eval.report.build import write_page
from piebench_eval.report.links import links_of
from piebench_eval.report.page import to_page, to_script
from piebench_eval.report.provenance import MeasuredCost, Provenance
from tests.report.synthetic import HOSTILE, sample, scored_run, whole_benchmark
from tests.tables.test_tables import PAPER_LIKE

PAIRS = [("ddim", "p2p"), ("direct", "p2p")]

URL = re.compile(r"""\b[a-z]+://|(?:src|href)=["']?//|@import|url\(""", re.IGNORECASE)


class Reader(HTMLParser):
    """Collects what a browser would: texts of cells, texts of list items, tags, attributes."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.cells, self.items = [], [], [], []
        self.inside = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.inside = {"td": self.cells, "th": self.cells, "li": self.items}.get(tag)
        if self.inside is not None:
            self.inside.append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th", "li"):
            self.inside = None

    def handle_data(self, data):
        if self.inside is not None:
            self.inside[-1] += data


def test_every_mean_stands_in_the_page_with_its_interval(small):
    page = to_page(small, [])
    reader = Reader(page)
    for row in small.score_table.means.to_dict(orient="records"):
        assert row["method"] in reader.cells
        for metric in small.score_table.metrics(every=False):
            assert f"{row[metric.key]:.2f}" in reader.cells
            interval = (
                f"95% interval {row[f'{metric.key}_low']:.2f} to {row[f'{metric.key}_high']:.2f}, 5 values"
            )
            assert ("title", interval) in reader.attributes


def test_remarks_stand_in_the_page_as_text(small):
    remarks = ["scored in bf16: not for publication", HOSTILE]
    assert Reader(to_page(small, remarks)).items == remarks


def test_names_are_text_wherever_they_stand(tmp_path):
    run = scored_run(tmp_path / '"><b>x', [sample(0, tmp_path)], [("<i>&", '"><script>fail()</script>')])
    page = to_page(run, [])
    reader = Reader(page)
    assert reader.tags.count("script") == 2 and not {"i", "b"} & set(reader.tags)
    assert '"><script>fail()</script>' in reader.cells


@pytest.mark.parametrize("name", ["index.html", "data.js", "report.js"])
def test_nothing_points_out_of_the_folder(built, name):
    assert not URL.findall(built.read(name))


def test_prompts_are_nowhere_but_in_the_data(built):
    assert "animal number" not in built.read("index.html")
    assert "animal number" in built.read("data.js")


def test_scripts_wait_for_the_page_and_the_library_for_the_scripts(built):
    scripts = re.findall(r"<script\b.*?>", built.read("index.html"))
    assert scripts == ['<script defer src="data.js">', '<script defer src="report.js">']


def test_the_script_closes_what_it_opens():
    script = to_script()
    assert script.startswith("(() => {") and script.endswith("})();\n")
    assert all(script.count(left) == script.count(right) for left, right in ("()", "[]", "{}"))


def test_the_page_of_the_whole_benchmark_is_below_2_mb(tmp_path):
    run = whole_benchmark(tmp_path)
    assert write_page(run, links_of(run, tmp_path / "report"), [], tmp_path) < 2_000_000
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2_000_000


def classes(page, name):
    return re.findall(rf'<td class="number {name}"[^>]*>([^<]*)</td>', page)


def test_the_best_and_the_second_best_are_marked(small):
    page = to_page(small, [])
    means = small.score_table.means
    edits = means[means["inversion"] != ""]
    for metric in small.score_table.metrics(every=False):
        best, second = edits[metric.key].sort_values(ascending=metric.better == "lower")
        assert f"{best:.2f}" in classes(page, "best") and f"{second:.2f}" in classes(page, "second")
    assert len(classes(page, "best")) == len(small.score_table.metrics(every=False))


def test_what_an_edit_took_stands_beside_its_means(small):
    page = to_page(replace(small, costs={"direct+p2p": MeasuredCost(2.5, 150.0)}), [])
    cells = Reader(page).cells
    assert "seconds<br>per edit" in page and "model<br>evaluations" in page
    assert "2.50" in cells and "150" in cells
    assert "seconds<br>per edit" not in to_page(small, [])


def test_the_papers_numbers_stand_there_where_a_comparison_makes_sense(tmp_path):
    run = scored_run(tmp_path, [sample(number, tmp_path) for number in range(700)], PAIRS, about=PAPER_LIKE)
    page = to_page(run, [])
    assert 'id="paper"' in page
    measured = run.score_table.means.set_index("inversion").loc["direct", "psnr"]
    assert f'{measured:.2f}<br><small>27.22 <span class="difference">{measured - 27.22:+.2f}' in page
    assert page.count('class="number differs"') > 7


def test_a_demo_is_not_held_against_the_paper(tmp_path):
    about = {"networks": dict.fromkeys(("dino", "clip", "lpips_weights"), "demo")}
    run = scored_run(tmp_path, [sample(number, tmp_path) for number in range(5)], PAIRS, about=about)
    assert 'id="paper"' not in to_page(run, [])


def test_facts_that_runs_share_are_said_once(small):
    provenances = [
        Provenance("a", {"steps": "10", "seed": "1"}),
        Provenance("b", {"steps": "50", "seed": "1"}),
    ]
    page = to_page(replace(small, provenances=provenances, title="a, b"), [])
    cells = Reader(page).cells
    assert {"steps", "10", "50", "a", "b"} <= set(cells) and "seed" not in cells
    assert "<dt>seed</dt><dd>1</dd>" in page


def test_the_table_is_there_to_download(built):
    for name in (paths.TABLE_CSV, paths.TABLE_LATEX):
        assert f'<a href="{name}" download>' in built.read("index.html")
    table = pd.read_csv(io.StringIO(built.read(paths.TABLE_CSV)))
    assert table["psnr"].tolist() == pytest.approx(built.run.score_table.means["psnr"].tolist())
    latex = built.read(paths.TABLE_LATEX)
    assert "\\begin{tabular}" in latex and "\\textbf" in latex and "% a notice" in latex

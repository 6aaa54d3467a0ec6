"""The page without its script."""

import re
from html.parser import HTMLParser

import pytest

from piebench_eval.report.build import write_page
from piebench_eval.report.links import links_of
from piebench_eval.report.page import to_page, to_script
from tests.report.synthetic import HOSTILE, sample, scored_run, whole_benchmark

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
    for row in small.source.means.to_dict(orient="records"):
        assert row["method"] in reader.cells
        for metric in small.source.metrics(every=False):
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

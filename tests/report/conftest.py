"""A run that was scored without any network, for the tests of this folder."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.report.build import build_report
from piebench_eval.report.content import ReportContent
from tests.report.synthetic import draw_pictures, sample, score_rows, scored_run
from tests.support.browser import chromium, open_page  # noqa: F401
from tests.support.fake_runner import fake_runner
from tests.support.runs import run

PAIRS = [("ddim", "p2p"), ("direct", "p2p")]


@pytest.fixture(scope="session")
def edited(tiny_model, photo_bench, tmp_path_factory) -> Path:
    """Four photographs, edited by two combinations; nothing is scored."""
    folder = tmp_path_factory.mktemp("runs") / "edited"
    fields = {"model": str(tiny_model), "inversions": ["ddim", "direct"], "methods": ["p2p"], "steps": 4}
    run(build_recipe(fields, {}, "test"), photo_bench, folder, make_runner=fake_runner())
    return folder


@pytest.fixture
def scored(edited, samples, tmp_path) -> Path:
    """The same with scores, in a folder of its own."""
    folder = tmp_path / "run"
    shutil.copytree(edited, folder)
    score_rows(samples, PAIRS).to_csv(folder / "scores.csv", index=False)
    (folder / "scores.json").write_text(json.dumps({"networks": {}, "precision": "bf16"}))
    return folder


@pytest.fixture
def small(tmp_path) -> ReportContent:
    """Five samples, two combinations and the untouched sources, with pictures."""
    folder = tmp_path / "small run"
    pairs = [*PAIRS, ("", "source-copy")]
    made = scored_run(folder, [sample(number, folder) for number in range(5)], pairs)
    draw_pictures(made)
    return made


@dataclass(frozen=True)
class Built:
    """A report on disk and the run that it shows."""

    run: ReportContent
    folder: Path

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def data(self) -> dict:
        return json.loads(self.read("data.js").removeprefix("const REPORT = ").removesuffix(";\n"))


@pytest.fixture
def built(small) -> Built:
    folder = small.folder / "report"
    build_report(small, folder, ["a notice"])
    return Built(small, folder)

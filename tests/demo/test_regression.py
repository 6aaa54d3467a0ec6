"""The demo's baseline: it holds for the code as it is, and each deliberate fault violates it."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from piebench_eval.cli.demo import DEMO_SAMPLES
from piebench_eval.diffusion import words
from piebench_eval.diffusion.loop import InversionResult
from piebench_eval.gate.comparison import compare, failures
from piebench_eval.methods.p2p import StepRanges
from piebench_eval.metrics.networks.metric_models import networks_for
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.execute import execute_run
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.scoring.cache import ScoreCache
from piebench_eval.scoring.edited_images import edited_images_of_run
from piebench_eval.scoring.score import Scoring, compute_scores, scoring_jobs
from piebench_eval.scoring.scores_file import score_rows
from piebench_eval.tables.aggregate import aggregate, read_table
from piebench_eval.tables.scores import read_scores

BASELINES = Path(__file__).parents[2] / "results" / "baselines"


@pytest.fixture(scope="module")
def tolerances():
    return yaml.safe_load((BASELINES / "tolerances.yaml").read_text())


@pytest.fixture(scope="module")
def baseline():
    return read_table(BASELINES / "demo.csv")


def quick_direct_p2p(folder, data):
    """The means of the demo's direct+p2p."""
    recipe = build_recipe(
        select_combinations(read_recipe_fields(DEMO_RECIPE), ["direct"], ["p2p"], "demo"), {}, "demo"
    )
    plan = plan_run(
        recipe, data, folder, Selection(limit=DEMO_SAMPLES), MachineOptions(batch_size=DEMO_SAMPLES)
    )
    execute_run(plan, lambda progress: None)
    edited_images, _ = edited_images_of_run(RunStore.read(folder))
    edits = [candidate for candidate in edited_images if candidate.labels["method"] == "p2p"]
    scoring, score_cache = Scoring(networks_for("demo")), ScoreCache(folder / "scores.cache.sqlite")
    jobs = list(scoring_jobs(edits, scoring.specs))
    for _ in compute_scores(jobs, scoring.networks("cpu"), score_cache):
        pass
    return aggregate(pd.DataFrame(score_rows(jobs, score_cache)))


@pytest.mark.slow  # test_gate.py holds the quick demo against its baseline
def test_the_demo_holds_its_baseline(whole_run, baseline, tolerances):
    means = aggregate(read_scores(whole_run.folder / "scores.csv"))
    assert failures(compare(means, baseline, tolerances)) == []


def no_control(monkeypatch):
    real = StepRanges.of

    def never(settings, steps):
        return replace(real(settings, steps), cross_attention_end=0, self_attention_end=0)

    monkeypatch.setattr(StepRanges, "of", never)


def reversed_words(monkeypatch):
    matrix = words.refinement_matrix

    def reversed_matrix(mapper):
        right = matrix(mapper)
        aligned = int((mapper >= 0).sum())
        return right if aligned == 0 else right[:, ::-1].copy()

    monkeypatch.setattr(words, "refinement_matrix", reversed_matrix)


def no_offset(monkeypatch):
    made = InversionResult.__init__
    monkeypatch.setattr(
        InversionResult, "__init__", lambda self, trajectory, source_mode: made(self, trajectory, "sampled")
    )


@pytest.mark.slow  # test_gate.py catches them on fewer samples and against a baseline of its own
@pytest.mark.parametrize("fault", [no_control, reversed_words, no_offset])
def test_a_fault_violates_the_baseline(fault, quick_run, baseline, tolerances, monkeypatch, tmp_path):
    fault(monkeypatch)
    means = quick_direct_p2p(tmp_path, quick_run.folder / "benchmark")
    expected = baseline[(baseline["inversion"] == "direct") & (baseline["method"] == "p2p")]
    found = failures(compare(means, expected, tolerances))
    assert found, means

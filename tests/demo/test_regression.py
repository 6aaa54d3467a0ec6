"""The demo's baseline: it holds for the code as it is, and each deliberate fault violates it."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from piebench_eval.cli.demo import DEMO_SAMPLES
from piebench_eval.demo.embedded import DEMO
from piebench_eval.diffusion import words
from piebench_eval.diffusion.loop import InversionResult
from piebench_eval.gate.comparison import compare, failures
from piebench_eval.methods.p2p import StepRanges
from piebench_eval.tables.aggregate import aggregate, read_table
from piebench_eval.tables.scores import read_scores
from tests.support.demo_means import demo_means

BASELINES = Path(__file__).parents[2] / "results" / "baselines"


@pytest.fixture(scope="module")
def tolerances():
    return yaml.safe_load((BASELINES / "tolerances.yaml").read_text())


@pytest.fixture(scope="module")
def baseline():
    return read_table(BASELINES / "demo.csv")


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

    def sampled(self, trajectory, source_mode, **rest):
        made(self, trajectory, "sampled", **rest)

    monkeypatch.setattr(InversionResult, "__init__", sampled)


@pytest.mark.slow  # test_gate.py catches them on fewer samples and against a baseline of its own
@pytest.mark.parametrize("fault", [no_control, reversed_words, no_offset])
def test_a_fault_violates_the_baseline(fault, quick_run, baseline, tolerances, monkeypatch, tmp_path):
    fault(monkeypatch)
    means = demo_means(DEMO, ["direct+p2p"], quick_run.folder / "benchmark", tmp_path, DEMO_SAMPLES)
    expected = baseline[(baseline["inversion"] == "direct") & (baseline["method"] == "p2p")]
    found = failures(compare(means, expected, tolerances))
    assert found, means

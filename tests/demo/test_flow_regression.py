"""The flow demo's gate: each deliberate fault in what flow methods are made of moves its means.

One sample in ten steps makes a baseline here, of metrics that need no network, so that a run takes half a
second; the slow tests hold ten samples against the baseline of ``piebench demo --family flow``.
"""

from functools import cache

import pytest
import yaml

from piebench_eval.cli.demo import DEMO_SAMPLES
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.demo.embedded import DEMO_FLOW
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.gate.comparison import compare, failures
from piebench_eval.methods import masactrl, value_sharing
from piebench_eval.methods.feature_sharing import FeatureSharingController
from piebench_eval.methods.same_half import SAME_HALF
from piebench_eval.tables.aggregate import read_table
from tests.demo.test_regression import BASELINES, no_offset
from tests.support.demo_means import demo_means

FEW = {"samples": 1, "steps": 10, "columns": ("psnr_unedit_part", "mse_unedit_part", "psnr_to_ideal")}


def no_source_guidance(monkeypatch):
    """FlowEdit's source is not guided."""
    monkeypatch.setattr(Guidance, "of_source", 1.0)


def values_of_the_step_before(monkeypatch):
    """Feature sharing reads what the inversion kept for another step."""
    attend = FeatureSharingController.attend

    def attend_late(self, layer, query, key, value):
        own, self.level = self.level, self.level - 1
        shared = attend(self, layer, query, key, value)
        self.level = own
        return shared

    monkeypatch.setattr(FeatureSharingController, "attend", attend_late)


def text_shared_too(monkeypatch):
    """The target's text has the source's keys and values."""

    def everything_from_source(states, layer, rows, num_samples):
        everyone, states = range(num_samples), states.clone()
        for source, target in SAME_HALF:
            if target in rows.samples_by_row:
                states[rows.index(target, everyone)] = states[rows.index(source, everyone)]
        return states

    for method in (masactrl, value_sharing):
        monkeypatch.setattr(method, "image_from_source", everything_from_source)


FAULTS = {
    no_source_guidance: "flowedit+plain",
    no_offset: "direct+masactrl",
    values_of_the_step_before: "fireflow+feature_sharing",
    text_shared_too: "direct+masactrl",
}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return embedded_benchmark(tmp_path_factory.mktemp("flow") / "benchmark")


@pytest.fixture(scope="module")
def tolerances():
    return yaml.safe_load((BASELINES / "tolerances.yaml").read_text())


@pytest.fixture(scope="module")
def means_of(benchmark, tmp_path_factory):
    """A function that gives the means of a combination without faults."""

    @cache
    def made(combination):
        return demo_means(DEMO_FLOW, [combination], benchmark, tmp_path_factory.mktemp("run"), **FEW)

    return made


def of(table, combination):
    return table[table["inversion"] + "+" + table["method"] == combination]


@pytest.mark.parametrize(
    "fault",
    [
        no_source_guidance,
        text_shared_too,
        pytest.param(no_offset, marks=pytest.mark.slow),
        pytest.param(values_of_the_step_before, marks=pytest.mark.slow),
    ],
)
def test_a_fault_is_caught(fault, benchmark, means_of, tolerances, monkeypatch, tmp_path):
    expected = means_of(FAULTS[fault])
    fault(monkeypatch)
    found = demo_means(DEMO_FLOW, [FAULTS[fault]], benchmark, tmp_path, **FEW)
    assert failures(compare(found, expected, tolerances)), (found, expected)


@pytest.mark.slow  # the tests above catch them on fewer samples
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_violates_the_baseline(fault, benchmark, tolerances, monkeypatch, tmp_path):
    fault(monkeypatch)
    found = demo_means(DEMO_FLOW, [FAULTS[fault]], benchmark, tmp_path, DEMO_SAMPLES)
    expected = of(read_table(BASELINES / "demo-flow.csv"), FAULTS[fault])
    assert len(expected) == 1 and failures(compare(found, expected, tolerances))

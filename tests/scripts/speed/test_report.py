"""What the bench reports of measurements: rates by batch, and Table 1."""

import pytest
import torch

from piebench_eval.runs.forecast import forecast
from piebench_eval.runs.store.folder import Scan
from scripts.speed.measure import Measured, Timing
from scripts.speed.report import Findings, Options
from scripts.speed.samples import save_samples
from tests.support.recipes import shipped


@pytest.fixture
def findings(tmp_path):
    names = ["direct+p2p", "direct+masactrl", "direct+pnp", "null_text+p2p"]
    samples = save_samples(tmp_path, 1, 64)
    planned, table1 = (
        forecast(shipped("table1", {"model": "x", "steps": steps}), samples, Scan()) for steps in (4, 8)
    )
    options = Options(
        "sd1", None, names, 4, None, [1, 2], "bf16", "cpu", None, False, False, repeats=1, quick=True
    )
    found = Findings(options, torch.device("cpu"), 512, planned, table1, 8, 10**9, 1e12, {1: 0.25, 2: 0.2})
    timings = [Timing(1, 1.25, None, 3 * 10**9), Timing(2, 0.7, None, None)]
    found.measured = [
        *(Measured(name, 20, 0, timings) for name in names[:3]),
        Measured(names[3], 60, 40, [Timing(1, 10.25, None), Timing(2, 5.2, None)]),
    ]
    return found


def test_images_and_operations_per_second_stand_by_batch(findings):
    batches = findings.report().data["batches"]
    assert [(one["combination"], one["batch"]) for one in batches[:3]] == [
        ("direct+p2p", 1),
        ("direct+p2p", 2),
        ("direct+masactrl", 1),
    ]
    first = batches[0]
    assert first["images_per_second"] == pytest.approx(0.8)
    assert first["seconds_in_steps"] == pytest.approx(1.0)
    assert first["flops_per_second"] == pytest.approx(20e9)
    assert first["share_of_peak"] == pytest.approx(0.02)
    lines = "\n".join(findings.report().sections).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["direct+p2p", "1", "0.8", "1.25", "1", "0.02", "2.0%", "3"] in rows


def test_table_1_is_projected_and_said_to_be(findings):
    report = findings.report()
    projected = report.data["projected_table1"]
    assert (projected["steps"], projected["pictures"], len(projected["combinations"])) == (8, 700, 12)
    seconds = {one["combination"]: one["seconds"] for one in projected["combinations"]}
    assert projected["hours"] == pytest.approx(700 * sum(seconds.values()) / 3600)
    assert any("A projection:" in section for section in report.sections)
    findings.measured = findings.measured[:1]
    assert "projected_table1" not in findings.report().data


def test_a_report_of_nothing_yet_is_one(findings):
    findings.measured, findings.failed = [], ["direct+p2p: out of memory"]
    report = findings.report()
    assert "direct+p2p: out of memory" in report.sections and report.data["batches"] == []


def test_a_pace_is_the_middle_one_of_what_differentiates_nothing(findings):
    (pace,) = findings.report().data["pace"]
    assert pace["seconds_per_evaluation"] == pytest.approx((0.7 - 0.2) / 20)
    assert (pace["seconds_per_picture"], pace["precision"], pace["resolution"]) == (0.2, "bf16", 512)
    assert pace["model"] == "CompVis/stable-diffusion-v1-4"

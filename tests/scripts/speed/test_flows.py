"""Flow models of their published sizes, and the bench of their evaluations."""

import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.estimates.measured_pace import find_pace, read_paces, timed_device
from scripts.speed import flow_bench
from scripts.speed.empty import META
from scripts.speed.flow_bench import bench_flow
from scripts.speed.flows import FLOW_SIZES, new_flow_model, with_blocks
from scripts.speed.report import Options
from tests.support.recipes import shipped

TINY = {
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 24,
    "pooled_projection_dim": 8,
    "axes_dims_rope": (4, 6, 6),
}


@pytest.mark.parametrize(
    ("size", "weights"), [("sd3", 2_028_328_000), ("sd3.5-medium", 2_243_171_520), ("flux", 11_901_408_320)]
)
def test_sizes_are_the_published_ones(size, weights):
    transformer = new_flow_model(FLOW_SIZES[size], META, torch.bfloat16).denoiser
    assert sum(parameter.numel() for parameter in transformer.parameters()) == weights


def test_fewer_blocks_are_the_first_ones():
    newer = with_blocks(FLOW_SIZES["sd3.5-medium"], [2])
    assert newer.blocks == {"num_layers": 2} and newer.transformer["dual_attention_layers"] == (0, 1)
    for blocks in ([1], [20, 1], [1, 1, 1]):
        with pytest.raises(PiebenchError, match=r"--blocks .*up to 19 \(num_layers\) and up to 38"):
            with_blocks(FLOW_SIZES["flux"], blocks)


@pytest.fixture
def bench(monkeypatch):
    """The bench of a tiny FLUX in the place of the published size."""
    own = FLOW_SIZES["flux"]
    tiny = replace(own, transformer={**own.transformer, **TINY}, vae=(8, 8, 16, 16))
    monkeypatch.setitem(FLOW_SIZES, "flux", tiny)
    monkeypatch.setattr(flow_bench, "matrix_peak", lambda device, dtype: 1e12)
    options = Options("flux", None, None, 10, 64, [1, 2], "bf16", "cpu", None, False, False, repeats=1)
    return lambda **own: bench_flow(replace(options, **own), Console(quiet=True), lambda report: None)


def test_a_pace_is_read_by_the_dry_run(bench, tmp_path):
    report = bench()
    file = tmp_path / "pace.json"
    file.write_text(json.dumps(report.data))
    common = shipped("fireflow-flux", {"precision": "bf16"}).combination("fireflow", "feature_sharing").common
    found = find_pace(read_paces(file), timed_device(torch.device("cpu")), common, 64)
    assert found is not None and found.seconds_per_evaluation > 0 and not found.note
    assert find_pace(read_paces(tmp_path), found.device, common, 512) is None
    text = "\n\n".join(report.sections)
    assert "black-forest-labs/FLUX.1-dev's shapes, random weights; 64 pixels, bf16" in text
    assert "| rf-solver-edit-flux " in text and "| dnaedit-sd3.5" not in text


def test_fewer_blocks_are_no_pace_unless_it_is_asked_to_extrapolate(bench, monkeypatch):
    monkeypatch.setattr(flow_bench, "recipes_of", lambda model, samples: {})
    report = bench(blocks=[1, 1], batch_sizes=[1])
    assert "pace" not in report.data
    assert "1 of 2 blocks (num_layers) and 1 of 2 blocks (num_single_layers) alone" in report.sections[0]
    (pace,) = bench(blocks=[1, 1], batch_sizes=[1], extrapolate=True).data["pace"]
    assert pace["note"].startswith("extrapolated by operations from 1 of 2 blocks")
    assert pace["denoiser"]["num_layers"] == 2


def test_an_option_of_other_models_is_refused(bench):
    with pytest.raises(PiebenchError, match="--combinations"):
        bench(combinations=["direct+p2p"])

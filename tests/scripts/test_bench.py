"""The bench, on a tiny model: its numbers are there, and what is wrong ends in an error."""

import json
from dataclasses import replace

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from scripts import bench
from scripts.speed import flops, run
from scripts.speed.measure import TOLERANCE, Measured, Plain, Timing
from scripts.speed.memory import calculate_memory
from tests.support.tiny_model import save_tiny_instaflow

app = Typer()
app.command()(bench.main)

SMALL = ["--resolution", "64", "--steps", "4", "--batch-sizes", "1,2", "--device", "cpu"]


def invoke(*arguments):
    return CliRunner().invoke(app, [*SMALL, *arguments])


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """How fast matrix products are is no matter here; memory is calculated once, as test_memory.py shows."""
    monkeypatch.setattr(flops, "_SECONDS", 0.01)
    calculated = []

    def calculate_once(*arguments):
        calculated.extend([] if calculated else [calculate_memory(*arguments)])
        return calculated[0]

    monkeypatch.setattr(run, "calculate_memory", calculate_once)


def test_rows_times_and_latents_stand_beside_the_plain_implementation(tmp_path):
    out = tmp_path / "bench.json"
    result = invoke("--combinations", "direct+p2p,ddim+pnp", "--out", str(out))
    assert result.exit_code == 0, result.output
    data = json.loads(out.read_text())
    found = {one["combination"]: one for one in data["combinations"]}
    # 4 steps: one row each to invert; then the source's row is read to the end, by the blend.
    assert (found["direct+p2p"]["forward"], found["direct+p2p"]["plain"]["forward"]) == (16, 52)
    assert (found["ddim+pnp"]["forward"], found["ddim+pnp"]["plain"]["forward"]) == (19, 20)
    for one in found.values():
        assert [timing["batch"] for timing in one["timings"]] == [1, 2]
        assert all(timing["seconds"] > 0 for timing in one["timings"])
        assert 0 < one["plain"]["max_difference"] < 1e-3
    assert data["grid"]["seconds"] > 0
    assert data["flops_per_row"] > 0 and data["matrix_peak"] > 0
    (rows,) = [
        line for line in result.stdout.splitlines() if line.startswith("| direct+p2p") and " 52 " in line
    ]
    assert [cell.strip() for cell in rows.split("|")[2:-1]] == ["16", "16", "4", "52", "52"]


@pytest.mark.slow  # test_plain.py compares these latents, and the test above goes through the bench
def test_latents_of_stable_diffusion_xl_are_the_plain_ones(tmp_path):
    out = tmp_path / "bench.json"
    few = ["--size", "tiny-sdxl", "--resolution", "128", "--steps", "3", "--combinations", "direct+p2p"]
    result = invoke(*few, "--batch-sizes", "2", "--quick", "--out", str(out))
    assert result.exit_code == 0, result.output
    data = json.loads(out.read_text())
    (found,) = data["combinations"]
    # Table 1's rows are those of Stable Diffusion 1.x.
    assert (found["forward"], found["plain"]["forward"]) == (12, 39)
    assert found["plain"]["max_difference"] < TOLERANCE[0] and found["plain"]["rms_difference"] < TOLERANCE[1]
    assert data["calculated_memory"]["of"] == "batch 1, 128 pixels"
    assert "text encoders offloaded" in result.stdout


@pytest.mark.slow
def test_the_demo_s_metrics_are_not_taken_for_stable_diffusion_xl_s():
    few = ["--size", "tiny-sdxl", "--combinations", "direct+pnp", "--no-baseline", "--precision", "bf16"]
    result = invoke(*few, "--batch-sizes", "1")
    assert result.exit_code == 0, result.output
    assert "not measured for Stable Diffusion XL" in result.stdout


def test_a_model_of_another_family_is_refused(tmp_path):
    result = invoke("--model", str(save_tiny_instaflow(tmp_path)), "--combinations", "direct+p2p")
    assert result.exit_code == 2
    assert "is of the family InstaFlow; use one of Stable Diffusion 1.x" in " ".join(result.output.split())


@pytest.mark.slow
def test_other_latents_end_in_one(monkeypatch):
    def spoilt(measured, *_):
        return replace(measured, plain=Plain(1.0, 52, 0, max_difference=1.0, rms_difference=0.1))

    monkeypatch.setattr(run, "beside_plain", spoilt)
    result = invoke("--model", "demo", "--combinations", "direct+p2p")
    assert result.exit_code == 1
    assert "NO" in result.stdout and "not those of the plain implementation" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--batch-sizes", "0"], "numbers from 1 up"),
        (["--combinations", "direct+nothing"], "direct+nothing: choose from ddim+p2p"),
        (["--model", "no/such/folder"], "no/such/folder"),
    ],
)
def test_wrong_usage_names_the_remedy(arguments, named, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert named in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("combination", "largest", "rms", "near"),
    [
        ("direct+p2p", 1e-3, 1e-4, True),
        ("direct+p2p", 3e-3, 1e-4, False),
        ("direct+p2p", 1e-3, 3e-4, False),
        ("null_text+p2p", 3e-3, 3e-4, True),
        ("null_text+p2p", 2e-2, 3e-4, False),
    ],
)
def test_latents_are_judged_by_the_recordings_tolerances(combination, largest, rms, near):
    plain = Plain(10.0, 52, 0, largest, rms)
    measured = Measured(combination, 16, 4, [Timing(1, 4.0, None), Timing(2, 2.0, None)], plain)
    assert measured.is_near == near
    assert measured.ratio == 5
    assert measured.rows_per_second == 10


@pytest.mark.slow
def test_one_combination_that_fails_leaves_the_others(monkeypatch):
    def out_of_memory(combination):
        if combination.method == "pnp":
            raise torch.OutOfMemoryError("CUDA out of memory\nand more")

    monkeypatch.setattr(run, "_measure", spied(run._measure, out_of_memory))
    result = invoke("--model", "demo", "--no-baseline", "--combinations", "direct+p2p,direct+pnp")
    assert result.exit_code == 1
    assert "| direct+p2p" in result.stdout
    assert "direct+pnp: CUDA out of memory" in result.stdout


@pytest.mark.slow  # as the one above: how a bench ends that fails halfway
def test_what_is_known_is_on_the_disk_before_all_is(tmp_path, monkeypatch):
    """Neither a kernel that fails nor a combination that never ends takes the others' numbers with it."""

    def fail_or_hang(combination):
        if combination.method == "pnp":  # one of PyTorch's other words for a lack of memory
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
        if combination.inversion == "null_text":
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "_measure", spied(run._measure, fail_or_hang))
    out, markdown = tmp_path / "bench.json", tmp_path / "bench.md"
    files = ["--out", str(out), "--markdown", str(markdown)]
    names = "direct+pnp,direct+p2p,null_text+p2p"
    result = invoke("--model", "demo", "--no-baseline", "--quick", "--combinations", names, *files)
    assert result.exit_code not in (0, 2)
    data = json.loads(out.read_text())
    assert [one["combination"] for one in data["combinations"]] == ["direct+p2p"]
    assert data["failed"] == ["direct+pnp: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"]
    assert "| direct+p2p" in markdown.read_text() and data["failed"][0] in markdown.read_text()


def spied(measure, before):
    def measured(options, model, plain, samples, combination):
        before(combination)
        return measure(options, model, plain, samples, combination)

    return measured

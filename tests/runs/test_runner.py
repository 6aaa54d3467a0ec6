"""How a model is made ready for a worker."""

import functools
import json

import pytest
import torch

from piebench_eval.models import compile as compiled
from piebench_eval.models import device as devices
from piebench_eval.models import loading
from piebench_eval.models.base import DiffusionModel
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.machine import MachineOptions, WorkerSpec
from piebench_eval.runs.model_runner import ModelRunner
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.session_log import read_sessions
from tests.support.runs import digests, run

ONE = Selection(limit=1)


@pytest.fixture(scope="module")
def recipe(tiny_model):
    fields = {"model": str(tiny_model), "inversions": ["null_text"], "methods": ["p2p"], "steps": 2}
    return build_recipe(fields, {"inversion.inner_steps": 2, "inversion.stop_loss": 0}, "test")


@pytest.fixture(scope="module")
def plain(recipe, photo_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "plain"
    run(recipe, photo_bench, folder, ONE)
    return digests(folder)


def test_checkpointing_recomputes_and_changes_nothing(recipe, photo_bench, plain, tmp_path, monkeypatch):
    recomputed = []
    checkpoint = torch.utils.checkpoint.checkpoint

    def counted(*arguments, **options):
        recomputed.append(arguments[0])
        return checkpoint(*arguments, **options)

    monkeypatch.setattr(torch.utils.checkpoint, "checkpoint", counted)
    run(recipe, photo_bench, tmp_path / "run", ONE, checkpointing=True)
    assert recomputed and digests(tmp_path / "run") == plain


def test_offloading_is_asked_of_the_loader_and_changes_nothing(
    recipe, photo_bench, plain, tmp_path, monkeypatch
):
    asked = []

    def offloads(device, wanted=None):
        asked.append(wanted)
        return True  # as if the CPU were a GPU: what is moved is there already

    monkeypatch.setattr(loading, "offloads_text_encoders", offloads)
    run(recipe, photo_bench, tmp_path / "run", ONE, offload_text_encoders=False)
    assert asked == [False] and digests(tmp_path / "run") == plain


@pytest.mark.slow  # compiled blocks are tested in tests/models/test_compile.py
def test_a_compiled_run_says_so(recipe, photo_bench, plain, tmp_path, monkeypatch):
    blocks = functools.partial(compiled.compile_blocks, backend="eager")
    monkeypatch.setattr(compiled, "compile_blocks", blocks)
    run(recipe, photo_bench, tmp_path / "run", ONE, compile=True)
    assert digests(tmp_path / "run") == plain, "traced and run as it was written"
    assert [w["compiled"] for s in read_sessions(tmp_path / "run") for w in s["workers"].values()] == [True]
    torch._dynamo.reset()


def test_a_shared_gpu_has_what_nobody_else_has(recipe, monkeypatch):
    gpu = torch.device("cuda:1")
    monkeypatch.setattr(devices, "resolve_device", lambda name: gpu)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", {gpu: (5_000, 80_000)}.__getitem__)
    monkeypatch.setattr(torch.cuda, "memory_reserved", {gpu: 2_000}.__getitem__)
    runner = ModelRunner(WorkerSpec(MachineOptions(), "cuda:1", None, 8, None, "s"), recipe)
    assert runner.capacity == 7_000, "of 80,000 bytes, others have 73,000"


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_tf32_is_of_the_recipe(recipe, precision, photo_bench, tmp_path, monkeypatch):
    def switches():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    chosen = build_recipe({**json.loads(recipe.model_dump_json()), "precision": precision}, {}, "test")
    assert (chosen.hash != recipe.hash) == (precision == "tf32")
    seen, predict = set(), DiffusionModel.predict

    def watched(*arguments):
        seen.add(switches())
        return predict(*arguments)

    monkeypatch.setattr(DiffusionModel, "predict", watched)
    run(chosen, photo_bench, tmp_path / "run", ONE)
    assert seen == {(precision == "tf32",) * 2}
    assert switches() == (False, False)

"""Ways to run a plain call are timed and compared; a recorded call looks at nothing but its inputs."""

import json

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from piebench_eval.models.conditioning import Conditioning
from scripts.gpu import graphs, kernels
from scripts.gpu.graphs import GraphedCall
from scripts.gpu.kernels import WAYS, Way, model_of_size, time_ways
from scripts.gpu.plan import tell_speed

HOST, SIDE = torch.device("cpu"), 8


class RecordedGraph(TorchDispatchMode):
    """A CUDA graph without CUDA: its operations, done again on the same memory."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, made))
        return made

    def replay(self):
        for function, args, kwargs, made in self.operations:
            again = function(*args, **kwargs)
            outputs = [made] if isinstance(made, torch.Tensor) else made or ()
            others = [again] if isinstance(again, torch.Tensor) else again or ()
            for output, other in zip(outputs, others, strict=True):
                if isinstance(output, torch.Tensor) and output is not other:
                    output.copy_(other)


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def recorded_graphs(monkeypatch):
    for name, value in {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: torch.no_grad(),
        "CUDAGraph": RecordedGraph,
        "graph": lambda graph: graph,
    }.items():
        monkeypatch.setattr(graphs.torch.cuda, name, value)


@pytest.fixture(scope="module")
def model():
    return model_of_size("tiny", HOST, "fp32")


@torch.no_grad()
def test_a_graphed_call_follows_its_inputs(recorded_graphs, model):
    texts = Conditioning(torch.randn(2, 77, model.unet.config.cross_attention_dim))
    latents, time, calls = torch.randn(2, 2, 4, SIDE, SIDE), [torch.tensor(981.0), torch.tensor(1.0)], []

    def call(rows, at):
        calls.append(at)
        return model.denoise(rows, at, texts)

    graphed = GraphedCall(call, latents[0], time[0])
    recorded = len(calls)
    for rows in latents:
        for at in time:
            assert torch.equal(graphed(rows, at), model.denoise(rows, at, texts))
    assert len(calls) == recorded, "called anew"


@torch.no_grad()
def test_outputs_of_a_graphed_call_are_not_overwritten_by_the_next(recorded_graphs):
    double = GraphedCall(lambda numbers: 2 * numbers, torch.zeros(3))
    first, second = double(torch.ones(3)), double(torch.zeros(3))
    assert first.tolist() == [2, 2, 2] and second.tolist() == [0, 0, 0]


def test_every_way_is_timed_and_compared_with_the_first(recorded_graphs, model):
    ways = [way for way in WAYS if not way.compiled]
    found = list(time_ways(model, ways, [1, 2], SIDE, repeats=1))
    assert [(one.way, one.channels_last, one.rows) for one in found] == [
        (way.name, way.channels_last, rows) for way in ways for rows in (1, 2)
    ]
    for one in found:
        assert one.milliseconds >= one.milliseconds_of_host > 0 and one.tflops > 0
        assert one.off <= (0 if one.channels_last else 1e-5)


def test_compiled_ways_are_compiled_for_the_last_number_of_rows(monkeypatch, model):
    compiled = []
    monkeypatch.setattr(kernels, "compile_blocks", compiled.append)
    found = list(time_ways(model, [Way(compiled=True)], [1, 2], SIDE, repeats=1))
    assert compiled == [model.unet] and [one.rows for one in found] == [2]


def test_what_is_found_is_written_for_the_check(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "WAYS", [Way(), Way(graph=True)])
    size = ["--size", "tiny", "--side", str(SIDE), "--rows", "1,2", "--repeats", "1"]
    assert kernels.main(["--device", "cpu", *size, "--out", str(tmp_path / "bench.json")]) == 0
    told = tell_speed(tmp_path)
    assert told.data == json.loads((tmp_path / "bench.json").read_text())
    assert [(one["way"], one["rows"]) for one in told.data] == [(Way().name, 1), (Way().name, 2)]
    assert told.markdown.startswith("### Plain calls of tiny's UNet, bf16, 8 x 8")

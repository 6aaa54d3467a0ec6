"""Names of devices, and what they come to."""

import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device import resolve_device
from piebench_eval.runs.engines import devices
from piebench_eval.runs.engines.devices import find_devices, split_devices


@pytest.fixture
def two_gpus(monkeypatch):
    """As far as PyTorch can be asked without touching a device."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def accepted(device):
    """The index that torch.cuda.set_device takes from a device; without one it raises ValueError."""
    return torch.cuda._utils._get_device_index(device)


@pytest.mark.parametrize(("name", "index"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_a_device_can_be_set(two_gpus, name, index):
    assert accepted(resolve_device(name)) == index


def test_the_current_device_is_kept(two_gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert [accepted(resolve_device(name)) for name in ("auto", "cuda", "cuda:0")] == [1, 1, 0]


def test_a_device_that_is_not_there_is_refused(two_gpus, monkeypatch):
    with pytest.raises(PiebenchError, match="cuda:2: this machine has 2 CUDA devices"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(PiebenchError, match="cuda: this machine has 0 CUDA devices"):
        resolve_device("cuda")


@pytest.mark.parametrize("in_this_process", [True, False])
@pytest.mark.parametrize("names", ["auto", "all", "cuda", "cuda:1", "cuda,cuda:1"])
def test_every_device_that_is_found_can_be_set(two_gpus, monkeypatch, names, in_this_process):
    # The process that is asked for devices prints what resolve_device returns.
    monkeypatch.setattr(devices, "_query_torch", lambda: (2, str(resolve_device("auto"))))
    found = [accepted(torch.device(name)) for name in find_devices(names, in_this_process)]
    assert found == {"auto": [0], "cuda": [0], "cuda:1": [1]}.get(names, [0, 1])


@pytest.mark.parametrize("names", ["", ",", "cuda:0,cuda:0", "cuda,cuda:0", "auto,cpu", "all,cuda:0", "gpu"])
def test_names_that_are_none_are_refused(names):
    with pytest.raises(PiebenchError, match="--device"):
        split_devices(names)


@pytest.mark.parametrize(
    ("gpus", "wanted", "found"),
    [
        (2, "all", ["cuda:0", "cuda:1"]),
        (0, "all", ["cpu"]),
        (2, "auto", ["cuda:0"]),
        (2, "cuda:1", ["cuda:1"]),
        (0, "cuda:0, cuda:3", ["cuda:0", "cuda:3"]),
    ],
)
def test_names_become_devices(monkeypatch, gpus, wanted, found):
    monkeypatch.setattr(devices, "_query_torch", lambda: (gpus, "cuda:0" if gpus else "cpu"))
    assert find_devices(wanted, in_this_process=False) == found


def test_a_launchers_processes_take_a_gpu_each(monkeypatch):
    monkeypatch.setattr(devices, "_query_torch", lambda: (2, "cuda:0"))
    monkeypatch.setenv("WORLD_SIZE", "8")
    for rank, device in (("0", "cuda:0"), ("1", "cuda:1"), ("3", "cuda:1")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert find_devices("auto", in_this_process=True) == [device]
        assert find_devices("cuda", in_this_process=True) == [device]
    assert find_devices("cuda:0", in_this_process=True) == ["cuda:0"]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "_query_torch", lambda: (0, "cpu"))
    with pytest.raises(PiebenchError, match="0 CUDA devices"):
        find_devices("cuda", in_this_process=False)


def test_pytorch_is_asked_for_its_devices():
    gpus, best = devices._query_torch()
    assert gpus >= 0 and best in ("cpu", "cuda:0", "mps")
    assert find_devices("auto", in_this_process=True) == [best]

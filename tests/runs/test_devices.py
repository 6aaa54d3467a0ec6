"""Names of devices, and what they come to."""

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.runs import devices
from piebench_eval.runs.devices import find_devices, split_devices


@pytest.mark.parametrize("names", ["", ",", "cuda:0,cuda:0", "auto,cpu", "all,cuda:0", "gpu"])
def test_names_that_are_none_are_refused(names):
    with pytest.raises(PiebenchError, match="--device"):
        split_devices(names)


@pytest.mark.parametrize(
    ("gpus", "wanted", "found"),
    [
        (2, "all", ["cuda:0", "cuda:1"]),
        (0, "all", ["cpu"]),
        (2, "auto", ["cuda"]),
        (2, "cuda:1", ["cuda:1"]),
        (0, "cuda:0, cuda:3", ["cuda:0", "cuda:3"]),
    ],
)
def test_names_become_devices(monkeypatch, gpus, wanted, found):
    monkeypatch.setattr(devices, "_ask_torch", lambda: (gpus, "cuda" if gpus else "cpu"))
    assert find_devices(wanted, in_this_process=False) == found


def test_a_launchers_processes_take_a_gpu_each(monkeypatch):
    monkeypatch.setattr(devices, "_ask_torch", lambda: (2, "cuda"))
    monkeypatch.setenv("WORLD_SIZE", "8")
    for rank, device in (("0", "cuda:0"), ("1", "cuda:1"), ("3", "cuda:1")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert find_devices("auto", in_this_process=True) == [device]


def test_pytorch_is_asked_for_its_devices():
    gpus, best = devices._ask_torch()
    assert gpus >= 0 and best in ("cpu", "cuda", "mps")
    assert find_devices("auto", in_this_process=True) == [best]

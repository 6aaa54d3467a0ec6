"""How long OpenMP's threads wait is bounded before PyTorch is loaded, and the user's own words stand."""

import os
import subprocess
import sys

import pytest

from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.session_log import read_sessions
from piebench_eval.thread_waiting import SPIN_COUNT, limit_spinning
from tests.support.fake_runner import FakeRunner
from tests.support.runs import run

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_only_what_the_user_has_not_said_is_set(own):
    environment = dict(own)
    limit_spinning(environment)
    assert environment == (own or {"GOMP_SPINCOUNT": str(SPIN_COUNT)})


def spin_count(code, **own):
    """The spin count that OpenMP says it has when a new process imports PyTorch."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = {**kept, **own, "OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    return line.split("'")[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, PyTorch brings other OpenMP libraries")
@pytest.mark.parametrize(
    ("own", "expected"),
    # That the user's own stands is told above, and below of worker processes.
    [({}, str(SPIN_COUNT)), pytest.param({"GOMP_SPINCOUNT": "7"}, "7", marks=pytest.mark.slow)],
)
def test_openmp_heeds_it(own, expected):
    assert spin_count("import piebench_eval.cli.app, torch", **own) == expected


class Listener(FakeRunner):
    """Says how its process's threads wait."""

    def __init__(self):
        super().__init__()
        self.about["waiting"] = {name: os.environ.get(name) for name in VARIABLES}


def listener(spec, recipe):
    return Listener()


@pytest.mark.parametrize(
    "own", [{}, {"GOMP_SPINCOUNT": "7"}, pytest.param({"OMP_WAIT_POLICY": "PASSIVE"}, marks=pytest.mark.slow)]
)
def test_worker_processes_wait_alike(own, fake_recipe, photo_bench, tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    run(fake_recipe, photo_bench, tmp_path / "run", Selection(limit=2), workers=2, make_runner=listener)
    (session,) = read_sessions(tmp_path / "run")
    expected = {**dict.fromkeys(VARIABLES), **(own or {"GOMP_SPINCOUNT": str(SPIN_COUNT)})}
    heard = [about["waiting"] for about in session["workers"].values()]
    assert heard and all(waiting == expected for waiting in heard)

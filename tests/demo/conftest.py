"""Runs of ``piebench demo`` that the tests of this folder look at: two combinations, or, if slow, all."""

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from math import nan
from pathlib import Path

import pytest

from tests.support.commands import piebench
from tests.support.processes import seconds_of_children


@dataclass(frozen=True)
class DemoRun:
    """A finished ``piebench demo``: its folder, what it printed, and what it cost in a process of its own.

    ``seconds``: of one processor, with one thread.
    """

    folder: Path
    printed: str
    seconds: float = nan
    peak_bytes: float = nan


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory) -> DemoRun:
    """Direct Inversion against DDIM inversion, on two samples, in this process."""
    folder = tmp_path_factory.mktemp("demo") / "quick"
    done = piebench("demo", "--out", folder, "--quick", "--samples", 2)
    assert done.returncode == 0, done.stderr
    return DemoRun(folder, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def quick_run_of_10(tmp_path_factory) -> DemoRun:
    """The same on as many samples as the demo has by itself."""
    return run_demo(tmp_path_factory.mktemp("demo") / "of-10", "--quick")


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory) -> DemoRun:
    """All twelve combinations on ten samples."""
    return run_demo(tmp_path_factory.mktemp("demo") / "whole")


@pytest.fixture(scope="session")
def quick_run_of_40(tmp_path_factory) -> DemoRun:
    """Direct Inversion against DDIM inversion, on all samples that there are."""
    return run_demo(tmp_path_factory.mktemp("demo") / "of-40", "--quick", "--samples", "40")


@pytest.fixture(scope="session")
def flow_run(tmp_path_factory) -> DemoRun:
    """All combinations of the flow demo on ten samples."""
    return run_demo(tmp_path_factory.mktemp("demo") / "flow", "--family", "flow")


@pytest.fixture(scope="session")
def quick_flow_run_of_40(tmp_path_factory) -> DemoRun:
    """FlowEdit and Euler inversion on all samples that there are."""
    options = ("--family", "flow", "--quick", "--samples", "40")
    return run_demo(tmp_path_factory.mktemp("demo") / "flow-of-40", *options)


def run_demo(folder: Path, *options: str) -> DemoRun:
    """Run the demo in a folder, in a process of its own."""
    command = [sys.executable, "-m", "piebench_eval.cli.app", "demo", "--out", str(folder), *options]
    before = seconds_of_children()
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=one_thread)
    assert done.returncode == 0, done.stderr
    seconds = seconds_of_children() - before
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return DemoRun(folder, done.stdout + done.stderr, seconds, peak)

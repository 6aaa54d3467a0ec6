"""One run of ``piebench demo`` that all tests of this folder look at."""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class DemoRun:
    """A finished ``piebench demo``: its folder, what it printed, and what it cost."""

    folder: Path
    printed: str
    seconds: float
    peak_bytes: int


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> DemoRun:
    """All twelve combinations on ten samples."""
    return run_demo(tmp_path_factory.mktemp("demo") / "run")


@pytest.fixture(scope="session")
def quick_run_of_40(tmp_path_factory) -> DemoRun:
    """Direct Inversion against DDIM inversion, on all samples that there are."""
    return run_demo(tmp_path_factory.mktemp("demo") / "quick", "--quick", "--samples", "40")


def run_demo(folder: Path, *options: str) -> DemoRun:
    command = [sys.executable, "-m", "piebench_eval.cli.app", "demo", "--out", str(folder), *options]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}))
    return DemoRun(folder, done.stdout + done.stderr, seconds, peak)

"""One run of ``piebench demo`` that all tests of this folder look at."""

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.processes import seconds_of_children


@dataclass(frozen=True)
class DemoRun:
    """A finished ``piebench demo``: its folder, what it printed, and what it cost.

    ``seconds``: of one processor, with one thread.
    """

    folder: Path
    printed: str
    seconds: float
    peak_bytes: int


@pytest.fixture(scope="session")
def demo_run(shared_folder) -> DemoRun:
    """All twelve combinations on ten samples."""
    return run_demo(shared_folder / "demo")


@pytest.fixture(scope="session")
def quick_run_of_40(shared_folder) -> DemoRun:
    """Direct Inversion against DDIM inversion, on all samples that there are."""
    return run_demo(shared_folder / "quick", "--quick", "--samples", "40")


def run_demo(folder: Path, *options: str) -> DemoRun:
    """Run it in a folder, or read what another process of the tests found when it did."""
    finished = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not finished.exists():
            finished.write_text(json.dumps(_run(folder, *options)))
    return DemoRun(folder, **json.loads(finished.read_text()))


def _run(folder: Path, *options: str) -> dict[str, float | str]:
    command = [sys.executable, "-m", "piebench_eval.cli.app", "demo", "--out", str(folder), *options]
    before = seconds_of_children()
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=one_thread)
    assert done.returncode == 0, done.stderr
    seconds = seconds_of_children() - before
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"printed": done.stdout + done.stderr, "seconds": seconds, "peak_bytes": peak}

"""Runs as tests make and look at them."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

from piebench_eval.runs.execute import execute_run
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run


def run(recipe, data, out, selection=None, *, shard=None, retry_failed=False, max_failures=20, **workers):
    """Edit, in this process unless the workers say otherwise; all progress is kept in the summary."""
    plan = plan_run(
        recipe,
        data,
        out,
        selection or Selection(),
        MachineOptions(**{"devices": "cpu", **workers}),
        shard,
        retry_failed=retry_failed,
        max_failures=max_failures,
    )
    reports = []
    summary = execute_run(plan, reports.append)
    summary.reports = reports
    summary.warnings = [progress.warning for progress in reports if progress.warning]
    return summary


def digests(folder):
    """Every picture of a run, by path."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((folder / "images").rglob("*"))
        if file.is_file()
    }


def recorded_edits(folder):
    """The edits that the run's logs hold a record of, one entry per record; torn lines do not count."""
    found = []
    for log in sorted((folder / "records").glob("*.jsonl")):
        for line in log.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            found.append((record["inversion"], record["method"], record["sample"]))
    return found


def start_piebench(*arguments):
    """Start a command in a process of its own, which can be stopped."""
    command = [sys.executable, "-m", "piebench_eval.cli.app", *map(str, arguments)]
    # A test run in a shell's background inherits an ignored SIGINT; a user's foreground command does not.
    heed_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def wait_for_pictures(folder, count, process):
    """Wait until a process has saved so many pictures."""
    deadline = time.monotonic() + 300
    while len(list((folder / "images").rglob("*.png"))) < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_end(pid):
    """Wait until a process of whatever parent has ended."""
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.05)

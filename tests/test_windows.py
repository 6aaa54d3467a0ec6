"""On Windows, where some of Python's modules and signals are missing, the package runs in one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from piebench_eval import files

ROOT = Path(__file__).parents[1]

PRELUDE = """
import os, signal, sys
# Python's own modules know where they are.
import concurrent.futures, multiprocessing.connection, subprocess, tempfile

for module in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix"):
    sys.modules[module] = None
for name in dir(signal):
    if name.startswith("SIG") and name not in ("SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV"):
        if name not in ("SIG_DFL", "SIG_IGN"):
            delattr(signal, name)
for name in ("sched_getaffinity", "fork", "getuid", "geteuid", "killpg", "setsid", "mkfifo", "statvfs"):
    delattr(os, name)
"""

RUN = """
from pathlib import Path

import piebench_eval.cli.execution as work
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from tests.support.fake_runner import fake_runner

fields = {"model": "demo", "inversions": ["ddim"], "methods": ["p2p"], "steps": 2}
workers = MachineOptions(devices="cpu", make_runner=fake_runner())
plan = plan_run(build_recipe(fields, {}, "test"), None, Path(sys.argv[1]), Selection(limit=2), workers)
print("made", work.execute_with_progress(plan).made)
"""

EDIT = """
import torch
from piebench_eval.runs.batch_editing import _peak_memory

print("peak", _peak_memory(torch.device("cpu")))
"""

HELP = """
import piebench_eval.cli.app as app

sys.argv = ["piebench", "--help"]
app.main()
"""


@pytest.mark.parametrize(
    ("code", "said"), [(HELP, "Usage"), (RUN, "made 2"), (EDIT, "peak 0")], ids=["help", "run", "edit"]
)
def test_it_works_without_what_windows_lacks(tmp_path, code, said):
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_nobody_is_sent_ctrl_c(tmp_path, monkeypatch):
    """There, signal 0 is Ctrl-C, and os.kill sends it."""

    def kill(pid, number):
        raise AssertionError("os.kill ends or interrupts a process on Windows")

    monkeypatch.setattr(files.os, "kill", kill)
    monkeypatch.setattr(sys, "platform", "win32")
    partial = tmp_path / f".a.{files.socket.gethostname()}.1.partial"
    partial.write_bytes(b"")
    files.remove_stale_partials(tmp_path)
    assert partial.exists(), "young enough to be somebody's"
    os.utime(partial, (0, 0))
    files.remove_stale_partials(tmp_path)
    assert not partial.exists()

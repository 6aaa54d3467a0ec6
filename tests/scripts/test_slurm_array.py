"""The array template on a real Slurm of one node: pytest -m slurm.

Needs Debian's slurmctld, slurmd and munge, and root. Four minutes: Slurm lets a requeued job wait for two.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from piebench_eval.runs.store.session_log import read_sessions
from tests.support.runs import digests, recorded_edits

DAEMONS = ("munged", "slurmctld", "slurmd")
TEMPLATE = Path(__file__).parents[2] / "scripts" / "slurm_array.sh"
PLAN = ["--inversion", "ddim,direct", "--method", "p2p", "--steps", "4", "--limit", "4", "--device", "cpu"]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not all(map(shutil.which, DAEMONS)), reason="apt install slurmctld slurmd munge"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slurmd wants to be root"),
]

CONFIGURATION = """
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A cluster of this machine alone, and the environment of its users."""
    folder = tmp_path_factory.mktemp("slurm")
    for part in ("state", "spool", "munge"):
        (folder / part).mkdir(mode=0o700)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    file = folder / "slurm.conf"
    file.write_text(CONFIGURATION.format(host=host, folder=folder, ports=free_ports(2)))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "SLURM_CONF": str(file), "PATH": path}
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munged += [f"--{part}-file={folder}/munge/{part}" for part in ("pid", "log", "seed")]
    daemons = []
    with (folder / "log").open("w") as log:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            time.sleep(1)
        yield environment
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


def call(slurm, *command):
    done = subprocess.run(list(map(str, command)), env=slurm, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def submit(slurm, folder, out):
    """Send the template's array of two tasks to the queue; the node has no GPU."""
    options = ["--parsable", "--array=0-1", "--gres=none", "--cpus-per-task=1", "--mem=0", "--oversubscribe"]
    command = ["sbatch", *options, f"--chdir={folder}", TEMPLATE, *PLAN, "--out", out]
    return call(slurm, *command).strip()


def wait_until(slurm, condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, call(slurm, "squeue", "--all")
        time.sleep(0.2)


def pictures(out):
    return list((out / "images").rglob("*.png"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    command = [sys.executable, "-m", "piebench_eval.cli.app", "run", *PLAN, "--out", out]
    subprocess.run(command, check=True, capture_output=True)
    return digests(out)


def test_an_array_makes_the_whole_run(slurm, whole, tmp_path):
    out = tmp_path / "run"
    job = submit(slurm, tmp_path, out)
    wait_until(slurm, lambda: not call(slurm, "squeue", "--noheader", f"--job={job}").strip())
    logs = "\n".join(log.read_text() for log in sorted(tmp_path.glob("piebench-*.log")))
    assert digests(out) == whole, logs
    assert {session["shard"] for session in read_sessions(out)} == {"0/2", "1/2"}
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8


def test_a_task_that_is_warned_goes_to_the_queue_again_and_finishes(slurm, whole, tmp_path):
    out = tmp_path / "run"
    job = submit(slurm, tmp_path, out)
    wait_until(slurm, lambda: len(pictures(out)) >= 1)
    # As before a time limit: the steps of the tasks get the signal, not the script around them.
    for task in (0, 1):
        subprocess.run(["scancel", "--signal=USR1", f"{job}_{task}"], env=slurm, check=False)
    warned = time.monotonic()
    wait_until(slurm, lambda: any("stopped; finished" in log.read_text() for log in tmp_path.glob("*.log")))
    assert time.monotonic() - warned < 10
    assert len(pictures(out)) < 8
    wait_until(slurm, lambda: len(pictures(out)) == 8 or not call(slurm, "squeue", "--noheader").strip())
    wait_until(slurm, lambda: not call(slurm, "squeue", "--noheader").strip())
    assert digests(out) == whole
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8
    assert len(read_sessions(out)) > 2

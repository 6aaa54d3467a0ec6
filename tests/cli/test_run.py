"""``piebench run`` and ``piebench status`` as shells, schedulers and scripts use them."""

import json
import os
import signal
import time

import pytest

from piebench_eval.cli.run_arguments import choose_shard
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.shard import Shard
from piebench_eval.runs.store.session_log import read_sessions
from tests.support.commands import piebench
from tests.support.runs import digests, recorded_edits, start_piebench, wait_for_end, wait_for_pictures


def call(*arguments, code=0, **environment):
    """Run a command to its end; return what it printed."""
    done = piebench(*arguments, **environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def edits_into(tiny_model, photo_bench):
    """The command that makes eight edits in a folder, in a few seconds."""
    options = ("run", "--data", photo_bench, "--model", tiny_model, "--inversion", "ddim,direct",
               "--method", "p2p", "--steps", 4, "--device", "cpu", "--deterministic")  # fmt: skip
    return lambda out: (*options, "--out", out)


@pytest.fixture
def command(edits_into, tmp_path):
    out = tmp_path / "run"
    return edits_into(out), out


@pytest.fixture(scope="module")
def whole(edits_into, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    call(*edits_into(out))
    return digests(out)


# SIGTERM and SIGUSR1 are heeded as SIGINT is.
@pytest.mark.parametrize(
    "number",
    [
        *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGUSR1)),
        signal.SIGINT,
    ],
)
def test_workers_stop_within_seconds_and_the_run_goes_on(command, whole, number):
    options, out = command
    process = start_piebench(*options, "--workers", 2)
    wait_for_pictures(out, 2, process)
    workers = [worker["pid"] for worker in read_sessions(out)[-1]["workers"].values()]
    assert all(worker["deterministic"] for worker in read_sessions(out)[-1]["workers"].values())
    told = time.monotonic()
    if number == signal.SIGINT:
        # Ctrl-C reaches the workers too: a terminal sends it to all of its foreground processes.
        for pid in workers:
            os.kill(pid, number)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - told < 10
    assert process.returncode == 130
    assert "run the same command again" in stderr and "Traceback" not in stderr
    for pid in workers:
        wait_for_end(pid)
    assert 2 <= len(digests(out)) < 8 and not list(out.rglob("*.partial"))
    stdout, _ = call("status", out, "--json")
    # A worker may have been stopped between a picture and its record: the picture is made again.
    recorded = len(recorded_edits(out))
    assert recorded in (len(digests(out)), len(digests(out)) - 1)
    assert sum(part["missing"] for part in json.loads(stdout)["parts"]) == 8 - recorded
    call(*options)
    assert digests(out) == whole
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8


def test_a_dry_run_tells_the_plan_and_edits_nothing(command):
    options, out = command
    told = json.loads(call(*options, "--dry-run", "--json")[0])
    assert [part["combination"] for part in told["plan"]] == ["ddim+p2p", "direct+p2p"]
    assert all((part["done"], part["missing"], part["seconds"]) == (0, 4, None) for part in told["plan"])
    assert "try --limit 2" in call(*options, "--dry-run")[0]
    assert not out.exists()
    call(*options, "--limit", 2)
    stdout, _ = call(*options, "--dry-run", "--shard", "0/2")
    assert "By the pace of this run's records" in stdout and "by 2 workers" in stdout
    part = json.loads(call(*options, "--dry-run", "--json")[0])["plan"][1]
    assert (part["done"], part["missing"]) == (2, 2) and part["seconds"] > 0
    assert len(digests(out)) == 4


def test_launchers_share_a_run_by_their_variables(command, whole):
    options, out = command
    _, stderr = call(*options, SLURM_ARRAY_TASK_ID="0", SLURM_ARRAY_TASK_COUNT="2")
    assert "shard 0/2, by SLURM_ARRAY_TASK_ID" in stderr
    assert len(digests(out)) == 4
    stdout, stderr = call(*options, "--json", RANK="1", WORLD_SIZE="2")
    assert "shard 1/2, by RANK" in stderr and json.loads(stdout)["made"] == 4
    assert digests(out) == whole
    assert "Nothing is missing" in call("status", out, "--watch")[0]


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "1", "WORLD_SIZE": "2"},
        {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2"},
    ],
)
def test_variables_that_make_a_shard_are_said_and_can_be_refused(monkeypatch, capsys, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert choose_shard(None) == Shard(1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "shard 1/2" in line and all(name in line for name in variables) and "--shard none" in line
    assert choose_shard("none") == Shard()
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(next(iter(variables)), "7")
    with pytest.raises(PiebenchError, match="--shard none"):
        choose_shard(None)
    assert choose_shard("none") == Shard()


def test_failures_are_told_and_end_in_one(command):
    options, out = command
    failing = (*options, "--limit", 1, "--set", "method.blend_downsampling=3")
    stdout, stderr = call(*failing, code=1)
    assert "0 edits made" in stdout and "2 failed" in stdout and "--retry-failed" in stderr
    stdout, stderr = call("status", out)
    assert "blend_downsampling" in stderr and "--retry-failed" in stdout
    (first, _) = json.loads(call("status", out, "--json")[0])["failures"]
    assert "Traceback" in first["traceback"]
    assert json.loads(call(*failing, "--json", code=1)[0])["made"] == 0
    assert len(recorded_edits(out)) == 2, "what has failed is not made again unasked"

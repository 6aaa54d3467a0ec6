"""Kill runs at random, resume them, and check that nothing is lost, duplicated or changed.

    python scripts/chaos.py --runs 30
    python scripts/chaos.py --runs 500 --kills 5 --seed 7 --keep /tmp/chaos

Each run edits a few samples of the embedded benchmark with worker processes. Meanwhile workers, or the
command itself, are killed by SIGKILL at random times; then the same command is given again. After that the
pictures must be those of an undisturbed run, byte for byte, with one record for each and no file
left half written.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 2
PLAN = ["--inversion", "ddim,direct", "--method", "p2p,masactrl", "--steps", "4", "--limit", "3"]
EDITS = 12


def begin(out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "piebench_eval.cli.app", "run", "--out", str(out), "--device", "cpu"]
    return subprocess.Popen(
        [*command, "--workers", str(WORKERS), *PLAN],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(out: Path) -> float:
    """Give the command until its end; the seconds that took."""
    started = time.monotonic()
    process = begin(out)
    _, stderr = process.communicate()
    if process.returncode != 0:
        raise AssertionError(f"{out}: exit code {process.returncode}\n{stderr}")
    return time.monotonic() - started


def children(pid: int) -> list[int]:
    """Worker processes, by name: Python also starts a tracker of resources."""
    try:
        found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:
        return []


def disturb(out: Path, kills: int, chance: random.Random) -> int:
    """Begin a run, and kill workers or the command itself at random times; how many died."""
    process, died = begin(out), 0
    for edits in sorted(chance.randrange(EDITS) for _ in range(kills)):
        while process.poll() is None and len(list((out / "images").rglob("*.png"))) < edits:
            time.sleep(0.005)
        # Before the first edit, the time that workers take to begin; then about what an edit takes.
        time.sleep(chance.uniform(0, 0.5 if edits else 8))
        workers = children(process.pid)
        victim = chance.choice([process.pid, *workers])
        if process.poll() is not None:
            break
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
        died += 1
        if victim == process.pid:
            process.wait()
            wait_for_end(workers)
            return died
    process.send_signal(signal.SIGTERM)
    process.communicate()
    return died


def wait_for_end(pids: list[int]) -> None:
    """Orphans end by themselves, and soon."""
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            raise AssertionError("a worker outlives its session")
        time.sleep(0.02)


def pictures(out: Path) -> dict[str, str]:
    files = sorted(file for file in (out / "images").rglob("*") if file.is_file())
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def check(out: Path, expected: dict[str, str]) -> None:
    """Raise AssertionError if anything differs from the undisturbed run."""
    if (found := pictures(out)) != expected:
        wrong = sorted(found.items() ^ expected.items())
        raise AssertionError(f"{out}: {len(wrong)} pictures differ, such as {wrong[0][0]}")
    if partials := sorted(out.rglob("*.partial")):
        raise AssertionError(f"{out}: left half written: {partials}")
    lines = [line for log in (out / "records").glob("*.jsonl") for line in log.read_bytes().splitlines()]
    edits = [record for line in lines if (record := whole_record(line))]
    if len(edits) != len(set(edits)) or len(edits) != EDITS:
        raise AssertionError(f"{out}: {len(edits)} records of {len(set(edits))} edits; there are {EDITS}")


def whole_record(line: bytes) -> tuple[str, str, str] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record["inversion"], record["method"], record["sample"]


def disturb_and_resume(out: Path, expected: dict[str, str], kills: int, seed: int) -> str:
    """One run; what happened to it."""
    died = disturb(out, kills, random.Random(seed))
    done = len(pictures(out)) if (out / "images").is_dir() else 0
    finish(out)
    check(out, expected)
    return f"{died} killed, {done} of {EDITS} edits there; then the same {EDITS} pictures, a record each"


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--kills", type=int, default=3, help="at most so many per run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where runs go that came out wrong")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        seconds = finish(whole)
        expected = pictures(whole)
        print(f"undisturbed: {len(expected)} edits in {seconds:.1f} s", flush=True)
        for number in range(options.runs):
            out = Path(folder) / f"run{number}"
            try:
                said = disturb_and_resume(out, expected, options.kills, options.seed + number)
            except AssertionError:
                if options.keep:
                    shutil.copytree(out, options.keep / out.name)
                raise
            print(f"run {number}: {said}", flush=True)
            shutil.rmtree(out)


if __name__ == "__main__":
    main()

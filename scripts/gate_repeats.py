"""Repeat the quick demo with different batches, shards and threads, and check every run.

    python scripts/gate_repeats.py
    python scripts/gate_repeats.py --runs 5 --baseline results/baselines/demo-quick.csv

None of that is part of a recipe, so every run must pass the gate. The last line says how many did; the exit
code is 1 if one did not. Twenty runs take a quarter of an hour on two busy cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

BASELINE = Path(__file__).parents[1] / "results" / "baselines" / "demo-quick.csv"
EDIT = ["--inversion", "ddim,direct", "--method", "p2p", "--device", "cpu"]
SAMPLES = 10
WAYS = list(product((1, 2, 3, 4, 7, 10), (1, 2, 3), (1, 2)))
"""Samples per batch, shards, and threads."""


def piebench(*arguments: object, threads: int = 1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "piebench_eval.cli.app", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def make(out: Path, batch: int, shards: int, threads: int) -> None:
    """Edit and score the quick demo."""
    for shard in range(shards):
        plan = ["--limit", SAMPLES, "--batch-size", batch, "--shard", f"{shard}/{shards}"]
        done = piebench("run", "--out", out, *EDIT, *plan, threads=threads)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    done = piebench("score", out, "--device", "cpu", "--batch-size", batch, threads=threads)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


def largest_move(printed: str) -> float:
    """The largest move of a checked run, as a share of its tolerance."""
    cells = json.loads(printed)["cells"]
    return max(abs(cell["difference"] or 0) / cell["tolerance"] for cell in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    options = parser.parse_args()
    passed = 0
    for number in range(1, options.runs + 1):
        batch, shards, threads = WAYS[7 * number % len(WAYS)]
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder) / "run", batch, shards, threads)
            done = piebench("check", Path(folder) / "run", "--baseline", options.baseline, "--json")
        passed += done.returncode == 0
        way = f"batches of {batch}, {shards} shards, {threads} threads"
        told = f"{largest_move(done.stdout):.2%} of what is allowed" if done.stdout else done.stderr
        print(f"{number}: {way}: exit code {done.returncode}, {told}", flush=True)
    print(f"{passed} of {options.runs} pass")
    return 0 if passed == options.runs else 1


if __name__ == "__main__":
    sys.exit(main())

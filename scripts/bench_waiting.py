"""Measure what waiting threads cost: the same edits under several spin counts, alone and beside busy loops.

    python scripts/bench_waiting.py
    python scripts/bench_waiting.py --busy 2 --turns 10 --spin default,library,passive,1000

PyTorch's OpenMP threads spin before they sleep; PyTorch reads the limit from the environment when it is
loaded. Each setting has its own process, and they edit in turns, so that other load affects all of them
equally. The fastest turn is closest to that of an idle machine.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from piebench_eval.demo.embedded import DEMO  # the package before PyTorch, as commands do
from piebench_eval.recipes.builtin import DEMO_RECIPE

DEFAULT, LIBRARY, PASSIVE = "default", "library", "passive"
"""Settings by name: the package's, libgomp's own, and ``OMP_WAIT_POLICY=PASSIVE``; others are spin counts."""

BUSY_LOOP = "while True: pass"


def edit_in_turns(batch: int, steps: int) -> None:
    """Edit whenever a line comes, and tell the seconds; the first time warms up."""
    import torch

    from piebench_eval.data.pie_bench import load_pie_bench
    from piebench_eval.demo.benchmark import write_benchmark
    from piebench_eval.models.cache import Cache
    from piebench_eval.models.loading import load_model
    from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
    from piebench_eval.runs.batch_editing import edit_batch

    with tempfile.TemporaryDirectory() as folder:
        samples = load_pie_bench(write_benchmark(Path(folder) / "bench", 1, 0))[:batch]
        recipe = build_recipe(read_recipe_fields(DEMO_RECIPE), {"steps": steps}, "demo")
        model = load_model(DEMO, None, torch.device("cpu"), "fp32")
        for _ in sys.stdin:
            model.cache = Cache({})
            wall, cpu, sleeps = time.perf_counter(), time.process_time(), count_sleeps()
            edit_batch(model, samples, recipe.combination("direct", "p2p"))
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            spent |= {"sleeps": count_sleeps() - sleeps, "threads": torch.get_num_threads()}
            print(json.dumps(spent), flush=True)


def count_sleeps() -> int:
    """How often this process's threads have given up their cores to wait."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


@contextmanager
def busy_loop():
    """Keep a core busy meanwhile."""
    loop = subprocess.Popen([sys.executable, "-c", BUSY_LOOP])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def environment(setting: str) -> dict[str, str]:
    """The environment of a setting."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    if setting == DEFAULT:
        return kept
    if setting == LIBRARY:
        return {**kept, "GOMP_SPINCOUNT": "300000"}
    return {**kept, **({"OMP_WAIT_POLICY": "PASSIVE"} if setting == PASSIVE else {"GOMP_SPINCOUNT": setting})}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spin", default=f"{LIBRARY},{PASSIVE},{DEFAULT}", help="with commas between them")
    parser.add_argument("--busy", type=int, default=0, help="busy loops beside it")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--edit", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.edit:
        edit_in_turns(options.batch, options.steps)
        return
    found: dict[str, list[dict[str, float]]] = {setting: [] for setting in options.spin.split(",")}
    command = [
        sys.executable,
        __file__,
        "--edit",
        "--batch",
        str(options.batch),
        "--steps",
        str(options.steps),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with ExitStack() as stack:
        editors = {
            setting: stack.enter_context(subprocess.Popen(command, env=environment(setting), **pipes))
            for setting in found
        }

        def turn(setting: str) -> dict[str, float]:
            editors[setting].stdin.write("\n")
            return json.loads(editors[setting].stdout.readline())

        for setting in found:
            turn(setting)
        with ExitStack() as loops:
            for _ in range(options.busy):
                loops.enter_context(busy_loop())
            for _ in range(options.turns):
                for setting, turns in found.items():
                    turns.append(turn(setting))
                    print(f"{setting} {turns[-1]['wall']:.3f}", end="  ", file=sys.stderr, flush=True)
                print(file=sys.stderr)
        for editor in editors.values():
            editor.stdin.close()
    print(
        f"{options.busy} busy loops beside it, {options.turns} turns; load average {os.getloadavg()[0]:.1f}"
    )
    for setting, turns in found.items():
        wall, cpu, sleeps = ([spent[what] for spent in turns] for what in ("wall", "cpu", "sleeps"))
        print(
            f"{setting:>8}: fastest {min(wall):6.3f} s, median {statistics.median(wall):6.3f} s; "
            f"CPU-seconds {min(cpu):6.3f}, {statistics.median(cpu):6.3f}; "
            f"sleeps {statistics.median(sleeps):.0f}; {turns[0]['threads']:.0f} threads"
        )


if __name__ == "__main__":
    main()

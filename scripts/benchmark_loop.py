"""Time the job loop itself: a runner that does nothing, so that only plan, engine and store are at work.

    python scripts/benchmark_loop.py
    python scripts/benchmark_loop.py --samples 70 --workers 4

Prints the time of 8,400 edits (12 combinations of 700 samples) through worker processes, that of finding
them all finished, and the session's memory for 100,000 planned jobs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.runs.execute import execute_run
from piebench_eval.runs.jobs import plan_jobs
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.queue import JobQueue
from piebench_eval.runs.runner import EditResult

SIDE = 64


class NoOpRunner:
    """Returns a grey picture at once."""

    about = {"device": "none"}  # noqa: RUF012
    capacity = None
    weights_bytes = 0

    def load(self, model):
        return "no model"

    def edit(self, combination, samples):
        picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
        return [EditResult(sample, picture, None, 0.0, 0, 0, 0, 0, []) for sample in samples]

    def prefetch(self, samples):
        pass

    def clear_cache(self):
        pass


def no_op_runner(spec, recipe):
    return NoOpRunner()


def save_benchmark(folder: Path, samples: int) -> Path:
    """A benchmark of one small picture under many names."""
    annotations = {}
    for index in range(samples):
        path = f"0_random/{index:012d}.png"
        file = folder / "annotation_images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE)).save(file)
        annotations[f"{index:012d}"] = {
            "image_path": path,
            "original_prompt": "a [cat] on a mat",
            "editing_prompt": "a [dog] on a mat",
            "editing_instruction": "",
            "editing_type_id": "0",
            "blended_word": "cat dog",
            "mask": [0, 64],
        }
    (folder / "mapping_file.json").write_text(json.dumps(annotations))
    return folder


def time_run(folder: Path, data: Path, workers: int) -> tuple[float, int, int]:
    """Seconds of one command, edits made, and edits found."""
    started = time.perf_counter()
    recipe = build_recipe(read_recipe_fields(DEMO_RECIPE), {}, "demo")
    machine = MachineOptions(devices="cpu", workers=workers, batch_size=1, make_runner=no_op_runner)
    summary = execute_run(plan_run(recipe, data, folder, Selection(), machine), lambda progress: None)
    return time.perf_counter() - started, summary.made, summary.found


def measure_memory(jobs: int) -> None:
    """Plan so many jobs and say how much memory that took; called in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        data = save_benchmark(Path(folder), 1)
        recipe = build_recipe(read_recipe_fields(DEMO_RECIPE), {}, "demo")
        plan = plan_run(recipe, data, Path(folder) / "run", Selection())
        samples = [
            replace(plan.samples[0], id=str(number)) for number in range(jobs // len(recipe.pairs) + 1)
        ]
        groups = plan_jobs(recipe, samples, batch_size=1)
        edits = {job.key(sample) for group in groups for job in group.jobs for sample in job.wanted}
        scan = replace(plan, samples=samples).scan()
        queue = JobQueue([left for group in groups if (left := group.without(scan.done)) is not None])
        assert not queue.is_empty and len(edits) >= jobs and len(scan.missing) >= jobs
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    heavy = "torch" in sys.modules
    print(f"{len(edits)} planned jobs: {megabytes:.0f} MB at most in the session's process (torch: {heavy})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=700)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--planned", type=int, default=100_000)
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_only:
        measure_memory(options.planned)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = save_benchmark(Path(folder) / "data", options.samples)
        out = Path(folder) / "run"
        for what in ("edits that do nothing", "finished edits found again"):
            seconds, made, found = time_run(out, data, options.workers)
            print(f"{made + found} {what}, {options.workers} workers: {seconds:.1f} s ({made} made)")
    command = [sys.executable, __file__, "--memory-only", "--planned", str(options.planned)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

"""The sections of a check, the most important first."""

import json
from pathlib import Path

from scripts.gpu.cuda_tests import cuda_tests
from scripts.gpu.report import table
from scripts.gpu.section import Section, Told, python

COMBINATIONS = "direct+p2p,direct+pnp,direct+masactrl,null_text+p2p"


def plan(device: str, quick: bool) -> list[Section]:
    """What is looked at on a device; each limit is about twice what an H100 is expected to take.

    Args:
        device: ``cuda:N`` or ``cpu``, on which the CUDA tests are skipped.
        quick: a small model and small pictures are timed, in place of Stable Diffusion's size.
    """

    def tests(name: str, title: str, seconds: float, *files: str) -> Section:
        return cuda_tests(name, title, files, seconds, device)

    return [
        Section(
            "machine",
            "device, memory, versions; that everything can be imported",
            python("-m", "scripts.gpu.machine", "--device", device, "--out", "{folder}/machine.json"),
            60,
            tell_machine,
            essential=True,
        ),
        tests("golden", "float32 edits, against the recordings made on a CPU", 75, "test_golden.py"),
        tests(
            "numbers",
            "bf16 and fp16 against float32, batches of 8 against single pictures",
            100,
            "test_precisions.py",
            "test_batches.py",
        ),
        tests("families", "Stable Diffusion XL, InstaFlow and LCM, against a CPU", 75, "test_families.py"),
        speed(device, quick),
        tests(
            "runs",
            "saving behind the next batch, two processes, running out of memory, features on the host",
            90,
            "test_runs.py",
            "test_memory.py",
            "test_features.py",
        ),
        tests("compiled", "compiled blocks against the others", 90, "test_compiled.py"),
    ]


def speed(device: str, quick: bool) -> Section:
    """``scripts/bench.py``, with as many steps as MasaCtrl needs to take part: it does from the fifth."""
    size = ["--size", "tiny", "--resolution", "128", "--steps", "6", "--batch-sizes", "1,2"]
    if not quick:
        size = ["--size", "sd1", "--steps", "8", "--batch-sizes", "1,4,8"]
    files = ("--out", "{folder}/bench.json", "--markdown", "{folder}/bench.md")
    what = ("--combinations", COMBINATIONS, "--precision", "bf16", "--no-baseline", "--quick")
    command = python("scripts/bench.py", "--device", device, *size, *what, *files)
    title = "images and operations per second, memory, hours of Table 1, in bf16"
    return Section("speed", title, command, 200, tell_speed)


def tell_machine(folder: Path) -> Told:
    """The machine, a line per fact."""
    file = folder / "machine.json"
    if not file.exists():
        return Told()
    about = json.loads(file.read_text())
    return Told(table(["", ""], list(about.items())), about)


def tell_speed(folder: Path) -> Told:
    """The bench's tables, of the combinations that it has come to."""
    file = folder / "bench.json"
    if not file.exists():
        return Told()
    headings_lower = (folder / "bench.md").read_text().replace("# ", "### ", 1)
    return Told(headings_lower, json.loads(file.read_text()))

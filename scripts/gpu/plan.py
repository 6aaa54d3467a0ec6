"""The sections of a check, the most important first."""

import json
from pathlib import Path

from scripts.gpu.cuda_tests import cuda_tests
from scripts.gpu.report import table
from scripts.gpu.section import Section, Told, python

COMBINATIONS = "direct+p2p,direct+pnp,direct+masactrl,null_text+p2p"

_OUT = ("--out", "{folder}/bench.json", "--markdown", "{folder}/bench.md")


def plan(device: str, quick: bool) -> list[Section]:
    """What is looked at on a device; each limit is about twice what an H100 is expected to take.

    Args:
        device: ``cuda:N`` or ``cpu``, on which the CUDA tests are skipped.
        quick: a small model and small pictures are timed, in place of the published models' sizes.
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
        speed(device, quick),
        flow_speed("sd3.5-medium", "Stable Diffusion 3.5 medium", device, ["1"] if quick else []),
        flow_speed("flux", "FLUX.1", device, ["1,1"] if quick else []),
        tests(
            "families",
            "Stable Diffusion XL and 3, FLUX.1, InstaFlow and LCM, against a CPU",
            120,
            "test_families.py",
        ),
        tests("editors", "editors and pipelines of diffusers, against a CPU", 75, "test_editors.py"),
        precisions(device, quick),
        tests(
            "runs",
            "waiting, saving behind the next batch, two processes, memory running out, features on the host",
            100,
            "test_waiting.py",
            "test_runs.py",
            "test_memory.py",
            "test_features.py",
        ),
        tests("compiled", "compiled blocks against the others", 90, "test_compiled.py"),
        tests(
            "numbers",
            "bf16 and fp16 against float32, batches of 8 against single pictures",
            150,
            "test_precisions.py",
            "test_batches.py",
        ),
        kernels(device, quick),
    ]


def speed(device: str, quick: bool) -> Section:
    """``scripts/bench.py``, with as many steps as MasaCtrl needs to take part: it does from the fifth."""
    size = ["--size", "tiny", "--resolution", "128", "--batch-sizes", "1,2"]
    if not quick:
        size = ["--size", "sd1", "--batch-sizes", "1,8"]
    what = ("--steps", "6", "--combinations", COMBINATIONS, "--precision", "bf16", "--no-baseline", "--quick")
    command = python("scripts/bench.py", "--device", device, *size, *what, *_OUT)
    title = "images and operations per second, memory, hours of Table 1, in bf16"
    return Section("speed", title, command, 200, tell_speed)


def flow_speed(size: str, name: str, device: str, blocks: list[str]) -> Section:
    """``scripts/bench.py`` for a flow model.

    Args:
        size: of the bench.
        name: of the model.
        device: likewise.
        blocks: as many of its blocks as ``--blocks`` says, on small pictures; all at its own resolution if
            empty.
    """
    what = ["--batch-sizes", "1", "--blocks", *blocks, "--resolution", "64"] if blocks else []
    what = what or ["--batch-sizes", "1,4", "--repeats", "3"]
    command = python("scripts/bench.py", "--size", size, "--device", device, "--precision", "bf16", *what)
    title = f"evaluations and operations per second of {name}, hours of flow-table, in bf16"
    return Section(size, title, (*command, *_OUT), 90, tell_speed)


def kernels(device: str, quick: bool) -> Section:
    """Which way to run a UNet's plain calls is the fastest."""
    few = ("--size", "tiny", "--side", "16", "--rows", "1,2", "--repeats", "1") if quick else ()
    command = python("-m", "scripts.gpu.kernels", "--device", device, *few, "--out", "{folder}/bench.json")
    title = "plain calls of Stable Diffusion's UNet: channels last or first, as one graph, compiled"
    return Section("kernels", title, command, 90, tell_speed)


def precisions(device: str, quick: bool) -> Section:
    """What the half precisions change in the metrics."""
    few = ("--pictures", "1", "--steps", "2") if quick else ()
    command = python("-m", "scripts.gpu.precisions", "--device", device, *few, "--out", "{folder}/bench.json")
    return Section("precisions", "what bf16 and fp16 change in every metric", command, 90, tell_speed)


def tell_machine(folder: Path) -> Told:
    """The machine, a line per fact."""
    file = folder / "machine.json"
    if not file.exists():
        return Told()
    about = json.loads(file.read_text())
    return Told(table(["", ""], list(about.items())), about)


def tell_speed(folder: Path) -> Told:
    """The tables of what has been measured so far."""
    file = folder / "bench.json"
    if not file.exists():
        return Told()
    headings_lower = (folder / "bench.md").read_text().replace("# ", "### ", 1)
    return Told(headings_lower, json.loads(file.read_text()))

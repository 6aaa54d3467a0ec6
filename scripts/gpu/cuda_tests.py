"""Results of the CUDA tests, read from their output line by line, unfinished tests included."""

import json
from pathlib import Path
from typing import Any

from scripts.gpu.report import table
from scripts.gpu.section import Section, Told, python

LOG = "PIEBENCH_GPU_LOG"
"""Variable that names the file; ``tests/cuda/conftest.py`` writes it."""


def cuda_tests(name: str, title: str, files: tuple[str, ...], seconds: float, device: str) -> Section:
    """A section of CUDA tests.

    The project's own options for pytest are left out: they ask for plugins that need not be here. Asked for
    the CPU, the tests see no GPU and are skipped.
    """
    options = ("-o", "addopts=", "-p", "no:cacheprovider", "-m", "cuda", "-q", "--tb=short")
    where = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {"PIEBENCH_GPU": device}
    environment = {LOG: "{folder}/tests.jsonl", **where}
    command = python("-m", "pytest", *options, *(f"tests/cuda/{file}" for file in files))
    return Section(name, title, command, seconds, tell_tests, environment)


def tell_tests(folder: Path) -> Told:
    """Outcomes and what was measured; a test that has begun and not ended has none."""
    log = folder / "tests.jsonl"
    found: dict[str, dict[str, Any]] = {}
    for line in log.read_text().splitlines() if log.exists() else []:
        entry = json.loads(line)
        found.setdefault(entry["test"], {}).update(entry)
    if not found:
        return Told()
    entries = list(found.values())
    skipped = [entry["why"] for entry in entries if entry.get("outcome") == "skipped"]
    if len(skipped) == len(entries):
        return Told(data=entries, skipped=skipped[0])
    rows = [
        [
            test.removeprefix("tests/cuda/"),
            entry.get("outcome", "not ended"),
            f"{entry.get('seconds', 0):.1f}",
            "; ".join(f"{name} {value}" for name, value in entry.get("measured", [])) or entry.get("why", ""),
        ]
        for test, entry in found.items()
    ]
    remark = f"{len(skipped)} of {len(entries)} skipped: {skipped[0]}" if skipped else ""
    return Told(table(["test", "outcome", "seconds", "measured"], rows), entries, remark=remark)

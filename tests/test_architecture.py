"""A package imports only from the packages below it, and checks need nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "piebench_eval"
PACKAGES = [
    "cli",
    "api",
    "report",
    "tables",
    "runs",
    "metrics",
    "inversions",
    "methods",
    "diffusion",
    "backbone",
    "demo",
    "bench",
]
SHARED = {
    "errors",
    "files",
    "hub",
    "loading",
    "progress_bars",
    "registry",
    "recipes",
    "thread_waiting",
    "vocabulary",
    "warning_filters",
    "weights",
    "__version__",
}


def imported_packages(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("piebench_eval"):
            parts = node.module.split(".")[1:]
            yield from parts[:1] or [alias.name for alias in node.names]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_from_below(package):
    allowed = {*PACKAGES[PACKAGES.index(package) :], *SHARED}
    if package == "inversions":
        allowed.discard("methods")
    for file in (PACKAGE / package).rglob("*.py"):
        assert set(imported_packages(file)) <= allowed, file


def test_every_folder_is_a_room():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(PACKAGES)


def test_inversions_and_methods_are_known_without_torch():
    code = (
        "import sys\n"
        "from piebench_eval.inversions import INVERSIONS\n"
        "from piebench_eval.methods import METHODS\n"
        "for registry in (INVERSIONS, METHODS):\n"
        "    for name in registry.names():\n"
        "        registry.get(name).settings()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

"""A package imports only from the packages below it, and checks need nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "piebench_eval"
PACKAGES = [
    "cli",
    "studio",
    "packs",
    "api",
    "leaderboard",
    "report",
    "gate",
    "explain",
    "tables",
    "lint",
    "published",
    "scoring",
    "runs",
    "recipes",
    "metrics",
    "editors",
    "inversions",
    "methods",
    "diffusion",
    "models",
    "demo",
    "data",
]
SHARED = {
    "combination_names",
    "errors",
    "files",
    "pictures",
    "quirks",
    "registry",
    "settings",
    "tensors",
    "thread_waiting",
    "version",
    "warning_filters",
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


def test_every_folder_is_a_package_of_the_order():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(PACKAGES)


def test_inversions_and_methods_are_known_without_torch():
    code = (
        "import sys\n"
        "from piebench_eval.editors import EDITORS\n"
        "from piebench_eval.inversions import INVERSIONS\n"
        "from piebench_eval.methods import METHODS\n"
        "for registry in (EDITORS, INVERSIONS, METHODS):\n"
        "    for name in registry.names():\n"
        "        registry.get(name).settings()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}


def imported_modules(file):
    """Modules of the package that a file imports anywhere in it, those for types alone included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


def test_no_modules_import_each_other():
    """Nor in any longer circle."""
    waiting = {module: set(imported_modules(file)) & MODULES.keys() for module, file in MODULES.items()}
    done = set()
    while ready := [module for module, imported in waiting.items() if imported <= done]:
        done.update(ready)
        waiting = {module: imported for module, imported in waiting.items() if module not in done}
    assert not waiting, {module: sorted(imported - done) for module, imported in waiting.items()}

"""Inversions and methods from outside the package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from piebench_eval.diffusion.loop import InversionResult
from piebench_eval.errors import PiebenchError
from piebench_eval.methods import METHODS
from piebench_eval.recipes.plugins import load_plugins, plugin_errors
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.execute import execute_run
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.store.folder import RunStore
from tests.conftest import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "shared_attention.py"


def example_plugin():
    """The method of one's own that the documentation shows."""
    return EXAMPLE.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def forget_plugins(monkeypatch):
    monkeypatch.setattr(METHODS, "_plugins", {})


def write(folder, code):
    file = folder / "shared.py"
    file.write_text(code)
    return str(file)


def recipe_with(plugin, tiny_model, **fields):
    fields = {
        "model": str(tiny_model),
        "inversions": ["direct", "edit_friendly"],
        "methods": ["shared"],
        "steps": 4,
        "plugins": [plugin],
        **fields,
    }
    return build_recipe(fields, {}, "test")


def test_the_examples_method_is_short_and_edits(tiny_model, photo_bench, tmp_path):
    code = example_plugin()
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 30
    recipe = recipe_with(write(tmp_path, code), tiny_model)
    plan = plan_run(recipe, photo_bench, tmp_path / "run", Selection(limit=1), MachineOptions(devices="cpu"))
    assert execute_run(plan, lambda progress: None).made == 2
    METHODS._plugins.clear()
    assert RunStore.read(tmp_path / "run").recipe.hash == recipe.hash  # it brings its plugin along


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("METHODS = 1 / 0", "shared.py, line 1: ZeroDivisionError"),
        ("METHODS = {", "SyntaxError"),
        ("from piebench_eval.registry import Settings", "CHANGELOG.md has the names that changed"),
        ("from piebench_eval.backbone.backbone import Backbone", "CHANGELOG.md has the names that changed"),
        ("x = 1", "defines neither METHODS"),
        ("METHODS = 3", "METHODS is no mapping"),
        ("METHODS = {'shared': 3}", "make it a piebench_eval.methods.base.Method"),
        ("from piebench_eval.methods.p2p import P2P\nMETHODS = {'p2p': P2P}", "'p2p' already"),
    ],
)
def test_a_broken_plugin_is_named(tmp_path, code, said):
    file = write(tmp_path, code)
    with pytest.raises(PiebenchError) as caught:
        load_plugins([file])
    assert file in str(caught.value) and said in str(caught.value)


OWN_QUIRKS = """
from piebench_eval.methods.base import Method
from piebench_eval.methods.p2p import P2P
from piebench_eval.settings import Settings


class OwnSettings(Settings):
    quirks: str = "many"


METHODS = {"own": Method("Own", "yours", "", OwnSettings, P2P.prepare)}
"""


def test_a_plugin_can_have_a_setting_called_quirks(tmp_path, monkeypatch):
    monkeypatch.setattr(METHODS, "_plugins", {})
    fields = {
        "model": "m",
        "inversions": ["ddim"],
        "methods": ["own"],
        "plugins": [write(tmp_path, OWN_QUIRKS)],
    }
    settings = build_recipe(fields, {"method.quirks": "few"}, "test").combination("ddim", "own").flat()
    assert settings["method.quirks"] == "few" and settings["quirks.pixel_overflow"] == "clamp"


MODERN = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from piebench_eval.methods.base import Method
from piebench_eval.methods.p2p import P2P
from piebench_eval.settings import Settings

Where = Literal["{default}", "nowhere"]


@dataclass
class Notes:
    where: Where = "{default}"
    count: int = 0


class ModernSettings(Settings):
    where: Where = Field(default="{default}", description="a choice of the plugin's own")


METHODS = {{"{name}": Method("Modern", "yours", "", ModernSettings, P2P.prepare)}}
"""


def test_a_plugin_may_be_written_with_annotations_of_its_own(tmp_path):
    """Two files of one name: each has its own module, where its annotations are looked up."""
    for default in ("here", "there"):
        folder = tmp_path / default
        folder.mkdir()
        load_plugins([write(folder, MODERN.format(default=default, name=default))])
    for default in ("here", "there"):
        settings = METHODS.get(default).settings
        assert settings().where == default and sys.modules[settings.__module__].Notes().where == default
        with pytest.raises(ValueError, match="nowhere"):
            settings(where="elsewhere")


@pytest.mark.parametrize("broken", ["1 / 0", "raise SystemExit", "del METHODS", "METHODS = {'p2p': 1}"])
def test_a_plugin_that_fails_leaves_no_module(tmp_path, broken):
    file, before = write(tmp_path, MODERN.format(default="here", name="modern")), set(sys.modules)
    whole = Path(file).read_text()
    Path(file).write_text(f"{whole}\n{broken}\n")
    with pytest.raises((PiebenchError, SystemExit)):
        load_plugins([file])
    assert set(sys.modules) == before
    Path(file).write_text(whole)
    load_plugins([file])
    kept = METHODS.get("modern").settings.__module__
    module = sys.modules[kept]
    Path(file).write_text(f"{whole}\n{broken}\n")
    with pytest.raises((PiebenchError, SystemExit)):
        load_plugins([file])
    assert sys.modules[kept] is module, "what was loaded before still works"


def test_a_plugin_is_never_run_from_an_older_compilation(tmp_path):
    """Python takes a compiled file for current whose source has the same size and time."""
    for default in ("here", "nigh"):
        file = write(tmp_path, MODERN.format(default=default, name="modern"))
        os.utime(file, (0, 0))
        load_plugins([file])
        assert METHODS.get("modern").settings().where == default
    assert not (tmp_path / "__pycache__").exists()


def test_a_missing_plugin_is_named():
    with pytest.raises(PiebenchError, match=r"nowhere\.py: no such file"):
        load_plugins(["nowhere.py"])


def test_an_error_inside_a_plugin_names_it(tiny_model, photo_bench, tmp_path):
    code = example_plugin()
    broken = code.replace("return attended", "return attended + undefined")
    assert broken != code
    plugin = write(tmp_path, broken)
    recipe = recipe_with(plugin, tiny_model)
    plan = plan_run(recipe, photo_bench, tmp_path / "run", Selection(limit=1), MachineOptions(devices="cpu"))
    failed = execute_run(plan, lambda progress: None).failed
    assert len(failed) == 2
    (error,) = (error for edit, error in failed.items() if edit.startswith("direct+shared "))
    assert error.startswith(f"plugin {plugin}: failed in direct+shared with NameError")
    assert "undefined" in error and "shared.py, line" in error


def test_an_error_while_planning_names_the_plugin_too(tiny_model, photo_bench, tmp_path):
    code = example_plugin()
    broken = code.replace("SharedSettings, prepare)", "SharedSettings, prepare, problem=lambda *_: 1 / 0)")
    recipe = recipe_with(write(tmp_path, broken), tiny_model)
    with pytest.raises(PiebenchError, match=r"shared\.py.*ZeroDivisionError"):
        plan_run(recipe, photo_bench, tmp_path / "run", Selection(limit=1), MachineOptions(devices="cpu"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda model: model.predict_noise(None),
        lambda model: InversionResult(None, "fixed", variance_noise=None),
    ],
)
def test_a_plugin_that_asks_for_an_old_name_is_told_where_the_names_are(tmp_path, model, wrong):
    load_plugins([write(tmp_path, example_plugin())])
    with pytest.raises(PiebenchError, match=r"CHANGELOG\.md has the names"), plugin_errors("ddim", "shared"):
        wrong(model)


def test_too_little_memory_is_no_plugins_fault(monkeypatch):
    monkeypatch.setattr(METHODS, "origin", lambda name: "plugin shared.py" if name == "p2p" else None)
    with pytest.raises(RuntimeError, match="CUBLAS"), plugin_errors("direct", "p2p"):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def test_an_error_without_plugins_is_left_alone():
    with pytest.raises(ZeroDivisionError), plugin_errors("direct", "p2p"):
        raise ZeroDivisionError


def test_an_installed_package_adds_a_method_by_entry_point(tmp_path):
    (tmp_path / "outside.py").write_text(example_plugin() + "\nSHARED = METHODS['shared']\n")
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[piebench.methods]\nshared = outside:SHARED\nlost = outside:LOST\n"
    )
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "piebench_eval.cli.app", "run", "--out", str(tmp_path / "run")]
    command += ["--data", "x", "--model", "demo", "--inversion", "direct", "--method"]
    environment = {**os.environ, "PYTHONPATH": path}

    def run(method):
        return subprocess.run([*command, method], capture_output=True, text=True, env=environment, timeout=60)

    known = run("shared")
    assert known.returncode == 2 and "x" in known.stderr and "plugin" not in known.stderr
    lost = run("lost")
    assert lost.returncode == 2 and "plugin outside:LOST: cannot be loaded" in lost.stderr.replace("\n", " ")


def test_methods_lists_a_plugin(tmp_path):
    plugin = write(tmp_path, example_plugin())
    command = [sys.executable, "-m", "piebench_eval.cli.app", "methods", "--json", "--plugin", plugin]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["method"]["shared"]["plugin"] == f"plugin {plugin}"

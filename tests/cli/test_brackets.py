"""What users write is printed as it is: brackets in it are no markup."""

import ast
from pathlib import Path

import pytest
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.cli.explain import _print_findings
from piebench_eval.cli.forecast import print_forecast
from piebench_eval.explain.deviations import other_clip
from piebench_eval.explain.hypotheses import Finding, Hypothesis, parse_claims
from piebench_eval.methods import METHODS
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from tests.support.fake_runner import fake_runner
from tests.support.runs import run

ROOT = Path(__file__).parents[2]
CLIP = "/models/[v2]/clip"
NAME = "p2p[red]"
PLUGIN = f"""
from dataclasses import replace
from piebench_eval.methods.p2p import P2P
METHODS = {{"{NAME}": replace(P2P, title="Prompt-to-Prompt [bold]")}}
"""


@pytest.fixture(autouse=True)
def forget_plugins(monkeypatch):
    monkeypatch.setattr(METHODS, "_plugins", {})


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "[v2].py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture
def recipe(plugin, tiny_model):
    fields = {"model": str(tiny_model), "inversions": ["ddim", "direct"], "methods": [NAME], "steps": 4}
    return build_recipe({**fields, "plugins": [str(plugin)]}, {}, "test")


def said(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments]).output


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "runs/[v2]"],
        ["[v2]"],
        ["status", "x", "[v2]"],
        ["report", "[v2]/x"],
        ["run", "--out", "x", "--engine", "[v2]"],
        ["status", "x", "--[v2]"],
        ["run", "--out", "x", "--set", "[v2]"],
        ["explain", "x", "--claimed", "[v2]=1"],
        ["score", "x", "--protocol", "[v2]"],
    ],
)
def test_a_wrong_usage_is_shown_as_it_was_written(arguments):
    assert "[v2]" in said(*arguments)


def test_names_in_tables(recipe, photo_bench, tmp_path, capsys):
    out = tmp_path / "run[v2]"
    plan = plan_run(recipe, photo_bench, out, Selection(limit=1), MachineOptions(devices="cpu"))
    print_forecast(plan, as_json=False)
    run(recipe, photo_bench, out, Selection(limit=1), make_runner=fake_runner(fails=["000000000001"]))
    status = said("status", out)
    for text in (capsys.readouterr().out, status):
        assert f"ddim+{NAME}" in text
    assert f"ddim+{NAME} 000000000001 failed" in status


def test_names_and_titles_of_plugins(plugin):
    listed = said("methods", "--plugin", plugin)
    assert f"method {NAME}: Prompt-to-Prompt [bold]" in listed and str(plugin) in listed


def test_networks_among_the_findings(capsys):
    claims = parse_claims("clip_whole=25.0")
    findings = [Finding(Hypothesis((other_clip(CLIP),)), [25.0], 0.0, 1, 1.0)]
    _print_findings(findings, claims, 1)
    table, *_ = capsys.readouterr().out.split("protocols tried")
    assert f"CLIP is {CLIP}" in table


def test_no_console_reads_markup():
    """Nor does anything else that takes text apart at brackets."""
    for file in [*(ROOT / "piebench_eval").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            markup = {ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "markup"}
            assert name != "from_markup" and markup <= {"False"}, f"{file}, line {node.lineno}"
            if name in ("Console", "TextColumn"):
                assert markup == {"False"}, f"{file}, line {node.lineno}"

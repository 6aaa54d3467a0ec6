"""What commands say of how far things are, and of what to type next."""

import shlex
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.cli.console import next_command
from piebench_eval.cli.demo import _difference_text
from piebench_eval.cli.sweep_runs import _print_summary
from piebench_eval.runs.plan import Selection
from tests.support.fake_runner import fake_runner
from tests.support.runs import run


@pytest.mark.parametrize("place", ["runs/x", "my runs/x", "it's", "a;b", "$HOME"])
def test_a_command_with_any_path_is_one_for_a_shell(place):
    assert shlex.split(next_command("score", place)) == ["piebench", "score", place]


def test_the_next_command_of_a_sweep_quotes_its_folder(tmp_path, capsys):
    folder = tmp_path / "my sweep"
    _print_summary(folder, {"a": SimpleNamespace(made=1, found=0, failed={})}, as_json=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: ")]
    assert shlex.split(line)[1:] == ["piebench", "sweep", str(folder)]


def test_a_run_that_failed_is_not_called_whole(fake_recipe, photo_bench, samples, tmp_path):
    everyone = fake_runner(fails=[sample.id for sample in samples])
    run(fake_recipe, photo_bench, tmp_path / "run", Selection(limit=1), make_runner=everyone)
    said = CliRunner().invoke(app, ["status", str(tmp_path / "run")]).output
    assert "Nothing is waiting, but 2 failed." in said and "Nothing is missing" not in said


def test_one_pair_has_a_difference_without_an_interval():
    def row(pairs, difference, low, high):
        return _difference_text(SimpleNamespace(pairs=pairs, difference=difference, low=low, high=high))

    nan = float("nan")
    assert row(1, 1.5, nan, nan) == "+1.50 (one pair, no interval)"
    assert row(0, nan, nan, nan) == "no pair to compare"
    assert row(9, 1.5, -1, 4) == "+1.50 (-1.00 to +4.00)"

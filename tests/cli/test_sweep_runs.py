"""The runs of a sweep know those after them, so that the time left is that of the sweep."""

from piebench_eval.cli import sweep_runs
from piebench_eval.runs.execute import RunSummary
from tests.support.commands import piebench


def test_every_run_knows_those_after_it(tmp_path, monkeypatch):
    after = []

    def execute_with_progress(plan):
        after.append([later.out.name for later in plan.after])
        return RunSummary()

    monkeypatch.setattr(sweep_runs, "execute_with_progress", execute_with_progress)
    where = ("--out", tmp_path / "sweep", "--limit", 1, "--inversion", "direct", "--method", "p2p")
    done = piebench("run", *where, "--sweep", "steps=4,5,6")
    assert done.returncode == 0, done.stderr
    assert after == [["steps=5", "steps=6"], ["steps=6"], []]
    assert done.stderr.count("the time left is that of all runs") == 2

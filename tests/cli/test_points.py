"""The points of a sweep know what comes after them, so that the time left is that of the sweep."""

from piebench_eval.cli import points
from piebench_eval.runs.execute import RunSummary
from tests.support.commands import piebench


def test_every_point_knows_those_after_it(tmp_path, monkeypatch):
    after = []

    def work_through(plan):
        after.append([later.out.name for later in plan.after])
        return RunSummary()

    monkeypatch.setattr(points, "work_through", work_through)
    where = ("--out", tmp_path / "sweep", "--limit", 1, "--inversion", "direct", "--method", "p2p")
    done = piebench("run", *where, "--sweep", "steps=4,5,6")
    assert done.returncode == 0, done.stderr
    assert after == [["steps=5", "steps=6"], ["steps=6"], []]
    assert done.stderr.count("the time left is that of all points") == 2

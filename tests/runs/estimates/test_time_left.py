"""The time left that a session tells, in simulated time."""

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from piebench_eval.demo.benchmark import write_benchmark
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs import worker
from piebench_eval.runs.estimates.evaluation_forecaster import EvaluationForecaster
from piebench_eval.runs.estimates.time_left import TimeLeft
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.runs.jobs import Job
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.runner import EditResult
from piebench_eval.runs.store.records import EditKey, Outcome
from piebench_eval.runs.store.session_log import read_sessions
from tests.support.fake_runner import FakeRunner, fake_runner
from tests.support.runs import run

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECONDS, SIZE, SAMPLES = 40, 8, 40


class Clock:
    """Simulated time: it passes where a batch is edited."""

    def __init__(self):
        self.time = NOON

    def pass_by(self, seconds):
        self.time += timedelta(seconds=seconds)

    def __call__(self):
        return self.time.isoformat(timespec="milliseconds")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(worker, "now", clock)
    return clock


class Slow(FakeRunner):
    """Takes 40 seconds for a batch at 100 rows per edit, and more in proportion."""

    def __init__(self, clock, rows):
        super().__init__()
        self.clock, self.rows = clock, rows

    def edit(self, combination, samples):
        self.seconds_each = SECONDS / SIZE * self.rows[combination.name] / 100
        self.clock.pass_by(self.seconds_each * len(samples))
        return super().edit(combination, samples)

    def draw(self, combination, sample, peak):
        image = super().draw(combination, sample, peak).image
        rows = self.rows[combination.name]
        return EditResult(sample, image, None, self.seconds_each, rows, 0, 0, peak, [])


def make_slow(spec, recipe, clock, rows):
    return Slow(clock, rows)


def recipe_of(*inversions):
    return build_recipe(
        select_combinations(read_recipe_fields(DEMO_RECIPE), list(inversions), ["p2p"], "demo"), {}, "demo"
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A benchmark of 40 samples."""
    return write_benchmark(tmp_path_factory.mktemp("bench") / "drawn", SAMPLES // 10, 0)


@pytest.fixture
def edit(clock, drawn, tmp_path):
    def edit(rows, limit=SAMPLES):
        recipe = recipe_of(*(name.removesuffix("+p2p") for name in rows))
        runner = partial(make_slow, clock=clock, rows=rows)
        return run(
            recipe, drawn, tmp_path / "run", Selection(limit=limit), batch_size=SIZE, make_runner=runner
        )

    return edit


def at(summary, done):
    """What was told when so many edits were done."""
    return [progress for progress in summary.reports if progress.done == done][-1]


def test_batches_of_8_every_40_seconds(edit):
    found = edit({"direct+p2p": 100})
    assert found.reports[0].seconds_left is None
    for batches in range(1, 6):
        now = at(found, SIZE * batches)
        assert now.per_minute == pytest.approx(12)
        assert now.seconds_left == pytest.approx(SECONDS * (5 - batches))


def test_a_resumed_run_goes_by_its_own_batches(edit, clock):
    edit({"direct+p2p": 100}, limit=SIZE)
    clock.pass_by(3600)
    found = edit({"direct+p2p": 100})
    assert found.reports[0].done == SIZE and found.reports[0].seconds_left is None
    # Of the first eight samples two were there; their batch is computed whole.
    assert at(found, SIZE + 6).seconds_left == pytest.approx(SECONDS * 4)
    assert at(found, SIZE + 6 + 6).seconds_left == pytest.approx(SECONDS * 3)


@pytest.fixture
def counted(monkeypatch):
    """Counting the plan's rows takes from the first call to the third."""
    counts = {"ddim+p2p": 100.0, "null_text+p2p": 1000.0}
    calls = Counter()

    def get(self):
        calls["get"] += 1
        return [counts] if calls["get"] > 2 else None

    monkeypatch.setattr(EvaluationForecaster, "get", get)
    return counts


def test_a_combination_that_has_not_begun_costs_what_is_planned(edit, counted, tmp_path):
    found = edit({"ddim+p2p": 100, "null_text+p2p": 1000})
    first = at(found, SIZE)
    assert first.seconds_left == pytest.approx(4 * SECONDS + 5 * 10 * SECONDS)
    assert at(found, 2 * SIZE).seconds_left == pytest.approx(4 * 11 * SECONDS)
    # Others read what this session has counted.
    assert read_sessions(tmp_path / "run")[-1]["planned_rows"] == counted


def test_nothing_is_told_while_rows_are_counted(edit, counted):
    found = edit({"ddim+p2p": 100, "null_text+p2p": 1000})
    told = [progress.seconds_left for progress in found.reports if 0 < progress.done < SIZE]
    assert told[:2] == [None, None]


def test_short_runs_are_not_counted(edit, monkeypatch):
    monkeypatch.setattr(EvaluationForecaster, "get", lambda self: pytest.fail("counted"))
    found = edit({"ddim+p2p": 1, "null_text+p2p": 1}, limit=SIZE)
    assert at(found, SIZE).seconds_left is not None


def outcome(worker, batch, place, start=0.0):
    finished = NOON + timedelta(seconds=start + SECONDS * batch + 0.01 * place)
    record = {"finished": finished.isoformat(timespec="milliseconds"), "seconds": SECONDS / SIZE}
    rows = {"unet_rows_forward": 100, "unet_rows_backward": 0, "unet_rows_reused": 0}
    key = EditKey("direct", "p2p", f"{worker}-{batch}-{place}")
    return Outcome(key, {**record, **rows, "batch_size": SIZE}, None, worker)


def job_of(ids):
    ids = tuple(ids)
    return Job("direct", "p2p", ids, frozenset(ids))


@pytest.mark.parametrize("start", [0.0, 3.0, 20.0])
def test_two_workers_are_twice_as_fast_whenever_they_began(start, drawn, tmp_path):
    plan = plan_run(recipe_of("direct"), drawn, tmp_path / "run", Selection())
    ids = [f"{name}-{batch}-{place}" for batch in range(1, 11) for name in "01" for place in range(SIZE)]
    batches = [ids[first : first + SIZE] for first in range(0, len(ids), SIZE)]
    left = TimeLeft(plan, [job_of(batch) for batch in batches], {})
    for name in ("0", "1"):
        left.add_worker(name)
    for batch in range(1, 4):
        for name, began in (("0", 0.0), ("1", start)):
            for place in range(SIZE):
                left.add_outcome(outcome(name, batch, place, began))
            assert left.per_minute == pytest.approx(24, rel=0.01)
    assert left.seconds() == pytest.approx((160 - 48) / 24 * 60, rel=0.01)
    left.remove_worker("0")
    assert left.seconds() == pytest.approx((160 - 48) / 12 * 60, rel=0.01)


def test_the_runs_after_it_count(drawn, tmp_path, monkeypatch):
    recipe = recipe_of("direct")
    run(recipe, drawn, tmp_path / "two", Selection(limit=4), make_runner=fake_runner())

    def left_before(later_samples):
        later = plan_run(recipe, drawn, tmp_path / "two", Selection(limit=later_samples))
        plan = plan_run(recipe, drawn, tmp_path / "one", Selection(limit=8))
        left = TimeLeft(replace(plan, after=(later,)), [job_of(f"0-1-{n}" for n in range(SIZE))], {})
        left.add_worker("0")
        for place in range(SIZE):
            left.add_outcome(outcome("0", 1, place))
        return left.seconds()

    assert left_before(8) == pytest.approx(4 / 12 * 60)
    # From a minute on, the rows of the other recipe are counted.
    monkeypatch.setattr(
        EvaluationForecaster, "get", lambda self: [{"direct+p2p": 100.0}, {"direct+p2p": 300.0}]
    )
    assert left_before(24) == pytest.approx(20 * 3 / 12 * 60)


def test_rows_are_counted_in_another_process_as_a_dry_run_counts_them(drawn, tmp_path):
    recipe = recipe_of("ddim", "direct")
    plan = plan_run(recipe, drawn, tmp_path / "run", Selection(limit=1))
    planned = EvaluationForecaster(plan.out, [recipe], plan.samples[0])
    while (found := planned.get()) is None:
        time.sleep(0.05)
    rows = count_evaluations(recipe, plan.samples)
    assert found == [{key.combination: cost.computed for key, cost in rows.items()}]
    planned.close()


def test_counting_that_is_not_wanted_any_more_is_stopped(drawn, tmp_path):
    recipe = recipe_of("ddim")
    plan = plan_run(recipe, drawn, tmp_path / "run", Selection(limit=1))
    planned = EvaluationForecaster(plan.out, [recipe], plan.samples[0])
    assert planned.get() is None, "it has only begun"
    planned.close()
    planned.close()

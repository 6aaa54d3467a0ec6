"""Who gets what next."""

from piebench_eval.runs.desk import ATTEMPTS, Desk
from piebench_eval.runs.plan import Job, Model, Unit

MODEL = Model("m", None, "fp32")


def unit(number, jobs=2):
    return Unit(
        MODEL, tuple(Job("direct", f"method{place}", (), frozenset({f"{number}"})) for place in range(jobs))
    )


def name(task):
    _, job = task
    return f"{min(job.wanted)}.{job.method[-1]}"


def test_a_units_jobs_stay_with_one_worker():
    desk = Desk([unit(0), unit(1), unit(2)])
    assert name(desk.take("a")) == "0.0"
    assert name(desk.take("b")) == "1.0"
    desk.finish("a")
    assert name(desk.take("a")) == "0.1"
    desk.finish("a")
    assert name(desk.take("a")) == "2.0"


def test_an_idle_worker_takes_the_last_job_of_the_longest_unit():
    desk = Desk([unit(0, 2), unit(1, 4)])
    desk.take("a"), desk.take("b")
    assert name(desk.take("c")) == "1.3"
    assert not desk.is_empty


def test_the_desk_is_empty_when_the_last_job_is_done():
    desk = Desk([unit(0, 1)])
    assert not desk.is_empty
    desk.take("a")
    assert desk.take("b") is None and not desk.is_empty
    desk.finish("a")
    assert desk.is_empty and desk.take("a") is None


def test_others_get_what_a_dead_worker_had():
    desk = Desk([unit(0, 3), unit(1, 1)])
    desk.take("a")
    assert desk.lose("a") is None
    assert [name(desk.take("b")), desk.finish("b"), name(desk.take("b"))] == ["0.0", None, "0.1"]


def test_a_job_that_kills_its_workers_is_given_up_and_the_rest_goes_on():
    desk = Desk([unit(0, 2)])
    for _ in range(ATTEMPTS - 1):
        assert name(desk.take("a")) == "0.0"
        assert desk.lose("a") is None
    assert name(desk.take("b")) == "0.0"
    assert desk.lose("b").method == "method0"
    assert name(desk.take("b")) == "0.1"
    desk.finish("b")
    assert desk.is_empty


def test_a_worker_may_be_given_a_job_before_its_last_is_saved():
    desk = Desk([unit(0, 3)])
    desk.take("a"), desk.take("a")
    assert [job.method for job in desk.at_work("a")] == ["method0", "method1"]
    desk.finish("a")
    assert [job.method for job in desk.at_work("a")] == ["method1"]
    desk.finish("a")
    assert not desk.at_work("a") and not desk.is_empty


def test_a_job_that_was_only_being_saved_is_no_killer():
    desk = Desk([unit(0, 2)])
    for _ in range(ATTEMPTS - 1):
        assert [name(desk.take("a")), name(desk.take("a"))] == ["0.0", "0.1"]
        assert desk.lose("a") is None
    desk.take("a"), desk.take("a")
    assert desk.lose("a").method == "method1"
    assert name(desk.take("a")) == "0.0"
    desk.finish("a")
    assert desk.is_empty


def test_a_worker_that_dies_idle_loses_nothing():
    desk = Desk([unit(0, 1)])
    assert desk.lose("a") is None
    assert name(desk.take("b")) == "0.0"


def test_what_comes_next_is_known():
    def jobs(sample):
        return tuple(Job("direct", method, (sample,), frozenset("x")) for method in "ab")

    desk = Desk([Unit(MODEL, jobs("one")), Unit(MODEL, jobs("two"))])
    assert desk.next_samples("w") == ("one",)
    desk.take("w")
    assert desk.next_samples("w") == ("one",)
    desk.finish("w")
    desk.take("w")
    assert desk.next_samples("w") == ("two",)
    assert Desk([]).next_samples("w") == ()

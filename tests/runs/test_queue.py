"""Who gets what next."""

from piebench_eval.runs.jobs import Job, JobGroup, ModelSpec
from piebench_eval.runs.queue import MAX_ATTEMPTS, JobQueue

MODEL = ModelSpec("m", None, "fp32")


def group(number, jobs=2):
    return JobGroup(
        MODEL, tuple(Job("direct", f"method{place}", (), frozenset({f"{number}"})) for place in range(jobs))
    )


def name(task):
    _, job = task
    return f"{min(job.wanted)}.{job.method[-1]}"


def test_a_units_jobs_stay_with_one_worker():
    queue = JobQueue([group(0), group(1), group(2)])
    assert name(queue.next_job("a")) == "0.0"
    assert name(queue.next_job("b")) == "1.0"
    queue.finish("a")
    assert name(queue.next_job("a")) == "0.1"
    queue.finish("a")
    assert name(queue.next_job("a")) == "2.0"


def test_an_idle_worker_takes_the_last_job_of_the_longest_unit():
    queue = JobQueue([group(0, 2), group(1, 4)])
    queue.next_job("a"), queue.next_job("b")
    assert name(queue.next_job("c")) == "1.3"
    assert not queue.is_empty


def test_the_desk_is_empty_when_the_last_job_is_done():
    queue = JobQueue([group(0, 1)])
    assert not queue.is_empty
    queue.next_job("a")
    assert queue.next_job("b") is None and not queue.is_empty
    queue.finish("a")
    assert queue.is_empty and queue.next_job("a") is None


def test_others_get_what_a_dead_worker_had():
    queue = JobQueue([group(0, 3), group(1, 1)])
    queue.next_job("a")
    assert queue.requeue("a") is None
    assert [name(queue.next_job("b")), queue.finish("b"), name(queue.next_job("b"))] == ["0.0", None, "0.1"]


def test_a_job_that_kills_its_workers_is_given_up_and_the_rest_goes_on():
    queue = JobQueue([group(0, 2)])
    for _ in range(MAX_ATTEMPTS - 1):
        assert name(queue.next_job("a")) == "0.0"
        assert queue.requeue("a") is None
    assert name(queue.next_job("b")) == "0.0"
    assert queue.requeue("b").method == "method0"
    assert name(queue.next_job("b")) == "0.1"
    queue.finish("b")
    assert queue.is_empty


def test_a_worker_may_be_given_a_job_before_its_last_is_saved():
    queue = JobQueue([group(0, 3)])
    queue.next_job("a"), queue.next_job("a")
    assert [job.method for job in queue.running("a")] == ["method0", "method1"]
    queue.finish("a")
    assert [job.method for job in queue.running("a")] == ["method1"]
    queue.finish("a")
    assert not queue.running("a") and not queue.is_empty


def test_a_job_that_was_only_being_saved_is_no_killer():
    queue = JobQueue([group(0, 2)])
    for _ in range(MAX_ATTEMPTS - 1):
        assert [name(queue.next_job("a")), name(queue.next_job("a"))] == ["0.0", "0.1"]
        assert queue.requeue("a") is None
    queue.next_job("a"), queue.next_job("a")
    assert queue.requeue("a").method == "method1"
    assert name(queue.next_job("a")) == "0.0"
    queue.finish("a")
    assert queue.is_empty


def test_a_worker_that_dies_idle_loses_nothing():
    queue = JobQueue([group(0, 1)])
    assert queue.requeue("a") is None
    assert name(queue.next_job("b")) == "0.0"


def test_what_comes_next_is_known():
    def jobs(sample):
        return tuple(Job("direct", method, (sample,), frozenset("x")) for method in "ab")

    queue = JobQueue([JobGroup(MODEL, jobs("one")), JobGroup(MODEL, jobs("two"))])
    assert queue.next_samples("w") == ("one",)
    queue.next_job("w")
    assert queue.next_samples("w") == ("one",)
    queue.finish("w")
    queue.next_job("w")
    assert queue.next_samples("w") == ("two",)
    assert JobQueue([]).next_samples("w") == ()

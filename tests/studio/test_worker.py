"""The queue of requests: one after the other, cancelled at work and waiting, and errors as messages."""

import threading
from collections import Counter

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.studio.progress import Cancelled, EditProgress, WatchedCounter
from piebench_eval.studio.worker import MEMORY_IS_FULL, Request, Worker


class _Noise:
    requires_grad = False


def news(request):
    return [update for update in request.updates(timeout=5) if update is not None]


def failing(error):
    def task(tell, is_cancelled):
        raise error

    return task


def test_results_come_one_by_one_with_progress():
    def task(tell, is_cancelled):
        tell(EditProgress(1, 2, 3.0))
        return "made"

    request = Request([task, lambda tell, is_cancelled: "also"])
    Worker().submit(request)
    first, second, third = news(request)
    assert (first.place, first.progress.share, first.progress.seconds_left) == (0, 0.5, 3.0)
    assert [(update.place, update.result) for update in (second, third)] == [(0, "made"), (1, "also")]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (PiebenchError("steps: too many"), "steps: too many"),
        (RuntimeError("CUDA error: out of memory"), MEMORY_IS_FULL),
        (ValueError("of the code\nmore"), "Failed: ValueError: of the code"),
        (SystemExit("of a plugin"), "Failed: SystemExit: of a plugin"),
    ],
    ids=["ours", "memory", "other", "exit"],
)
def test_an_error_is_a_message_and_the_next_edit_is_made(error, problem):
    request = Request([failing(error), lambda tell, is_cancelled: "made"])
    Worker().submit(request)
    failed, made = news(request)
    assert (failed.problem, made.result) == (problem, "made")


def test_two_people_queue_and_both_can_cancel():
    worker, began, go_on = Worker(), threading.Event(), threading.Event()

    def long(tell, is_cancelled):
        began.set()
        go_on.wait(5)
        counter = WatchedCounter(10, tell, is_cancelled)
        counter.count([0], _Noise())
        return "never"

    first, second, third = (
        Request([long, long]),
        Request([long]),
        Request([lambda tell, is_cancelled: "made"]),
    )
    for request in (first, second, third):
        worker.submit(request)
    assert began.wait(5)
    assert [worker.ahead_of(request) for request in (first, second, third)] == [0, 1, 2]
    worker.withdraw(second)
    assert news(second) == [] and worker.ahead_of(third) == 1
    worker.withdraw(first)
    go_on.set()
    assert [update.problem for update in news(first)] == ["Cancelled"]
    assert [update.result for update in news(third)] == ["made"]


def test_a_cancelled_edit_ends_at_its_next_evaluation():
    told = []
    counter = WatchedCounter(4, told.append, lambda: len(told) == 2, clock=iter(range(10)).__next__)
    counter.count([0, 0], _Noise())
    counter.count_reused(0, 1, 0)
    with pytest.raises(Cancelled):
        counter.count([0], _Noise())
    assert [(progress.done, progress.seconds) for progress in told] == [(2, 1), (3, 2)]
    assert told[1].seconds_left == pytest.approx(2 / 3)
    assert counter.forward == Counter({0: 4})
    assert EditProgress(0, 4, 1.0).seconds_left is None and EditProgress(2, 0, 1.0).share == 0


def test_a_worker_that_is_closed_gives_up_all_requests_and_ends():
    worker, began, ended = Worker(), threading.Event(), threading.Event()

    def long(tell, is_cancelled):
        began.set()
        while not is_cancelled():
            ended.wait(0.01)
        ended.set()
        raise Cancelled

    first, second = Request([long]), Request([long])
    worker.submit(first)
    worker.submit(second)
    assert began.wait(5)
    worker.close()
    assert ended.is_set() and not worker._thread.is_alive()
    assert [update.problem for update in news(first)] == ["Cancelled"] and news(second) == []

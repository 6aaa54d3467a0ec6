"""One thread that edits, and the requests that wait for it: two people at once queue."""

from __future__ import annotations

import queue
import threading
import traceback
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import first_line, is_out_of_memory, release_memory
from piebench_eval.studio.progress import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from piebench_eval.studio.progress import EditProgress

MEMORY_IS_FULL = (
    "The GPU's memory is full, and this edit was given up; the page goes on. Choose a smaller resolution or "
    "precision=bf16, or start the studio with --device cpu"
)


@dataclass(frozen=True)
class Update:
    """News of a request.

    Attributes:
        place: place of the edit in the request.
        progress: how far it is; None if this is not about that.
        result: what was made; None if this is not its end, or it failed.
        problem: why there is no result, for the page; empty if there is none.
    """

    place: int
    progress: EditProgress | None = None
    result: Any = None
    problem: str = ""


@dataclass(eq=False)
class Request:
    """Edits that somebody waits for.

    Attributes:
        tasks: what is to be done, in order: each is called with a function to tell of progress and one that
            says whether the request is cancelled.
        loads_model: whether this is the model's loading, which edits wait for.
        cancelled: set when nobody waits any more.
    """

    tasks: Sequence[Callable[[Callable[[EditProgress], None], Callable[[], bool]], Any]]
    loads_model: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    _news: queue.SimpleQueue[Update | None] = field(default_factory=queue.SimpleQueue)

    def cancel(self) -> None:
        """Give up what is not done yet."""
        self.cancelled.set()

    def updates(self, timeout: float) -> Iterator[Update | None]:
        """News until the request ends; None where there was none for ``timeout`` seconds."""
        while True:
            try:
                news = self._news.get(timeout=timeout)
            except queue.Empty:
                yield None
                continue
            if news is None:
                return
            yield news

    def work(self) -> None:
        """Do all tasks, in the worker's thread; one that fails leaves the others to be done."""
        for place, task in enumerate(self.tasks):
            if self.cancelled.is_set():
                break
            self._news.put(_news_of(place, task, self._tell_of(place), self.cancelled.is_set))
        self.end()

    def end(self) -> None:
        """Tell who waits that nothing more comes."""
        self._news.put(None)

    def _tell_of(self, place: int) -> Callable[[EditProgress], None]:
        return lambda progress: self._news.put(Update(place, progress))


class Worker:
    """Works on requests one after the other, in one thread of its own."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._at_work: Request | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="studio-worker", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Put a request behind those that wait."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()

    def ahead_of(self, request: Request) -> int:
        """How many requests are worked on before one; 0 while it is worked on, and after its end."""
        with self._changed:
            if request not in self._waiting:
                return 0
            return self._waiting.index(request) + (self._at_work is not None)

    @property
    def loads_model(self) -> bool:
        """Whether the model is being loaded."""
        with self._changed:
            return self._at_work is not None and self._at_work.loads_model

    def withdraw(self, request: Request) -> None:
        """Cancel a request, also one that still waits."""
        request.cancel()
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
                request.end()

    def close(self, timeout: float = 10) -> None:
        """End the thread: give up all requests, and wait some seconds until it writes nothing more."""
        with self._changed:
            self._closed = True
            requests = [*self._waiting, *([] if self._at_work is None else [self._at_work])]
            self._changed.notify()
        for request in requests:
            self.withdraw(request)
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._at_work = None
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                request = self._at_work = self._waiting.popleft()
            request.work()
            del request  # and what it made


def _news_of(
    place: int,
    task: Callable[[Callable[[EditProgress], None], Callable[[], bool]], Any],
    tell: Callable[[EditProgress], None],
    is_cancelled: Callable[[], bool],
) -> Update:
    """Do one task, and say what came of it."""
    try:
        return Update(place, result=task(tell, is_cancelled))
    except Cancelled:
        return Update(place, problem="Cancelled")
    except PiebenchError as error:
        return Update(place, problem=str(error))
    except BaseException as error:  # sys.exit in a plugin must not end the thread
        if not is_out_of_memory(error):
            traceback.print_exc()
            return Update(place, problem=f"Failed: {type(error).__name__}: {first_line(error)}")
    # Out of the handler, whose traceback held what filled the memory.
    release_memory()
    return Update(place, problem=MEMORY_IS_FULL)

"""Errors that a user can fix; the command line prints their message and exits with their code."""

from collections.abc import Sequence


class PiebenchError(Exception):
    """An error that the user can fix. The message names what, where and the remedy."""

    exit_code = 2


class PiebenchWarning(UserWarning):
    """A warning for the user; the command line prints its message."""


class DataError(PiebenchError):
    """All problems found in a benchmark folder."""

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in the data:", *(f"- {problem}" for problem in self.problems)]))


def first_few(items: Sequence[str], number: int, separator: str = ", ", last: str = " and ") -> str:
    """The first items of a list for a message, and how many more there are.

    >>> first_few(["a", "b", "c"], 2), first_few(["a", "b"], 2)
    ('a, b and 1 more', 'a, b')
    """
    more = f"{last}{len(items) - number} more" if len(items) > number else ""
    return separator.join(items[:number]) + more

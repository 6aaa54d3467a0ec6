"""Errors that a user can mend: the command line prints them plainly and exits with their code."""

from collections.abc import Sequence


class PiebenchError(Exception):
    """Something the user can put right. The message names what, where and the remedy."""

    exit_code = 2


class PiebenchWarning(UserWarning):
    """Something that the user should see and that ends nothing; the command line prints it plainly."""


class DataError(PiebenchError):
    """Every problem found in a benchmark folder, listed together."""

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

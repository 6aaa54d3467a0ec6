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

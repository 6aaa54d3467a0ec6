"""Errors that a user can mend: the command line prints them plainly and exits with their code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class PiebenchError(Exception):
    """Something the user can put right. The message names what, where and the remedy."""

    exit_code = 2


class DataError(PiebenchError):
    """Every problem found in a benchmark folder, listed together."""

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in the data:", *(f"- {problem}" for problem in self.problems)]))


@contextmanager
def explained_loading(option: str, location: str, wanted: str) -> Iterator[None]:
    """Turn what model loaders raise into a message for the user.

    Args:
        option: the command-line option that names the model.
        location: its value.
        wanted: what the option takes.

    Raises:
        PiebenchError: the body could not load the model.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise PiebenchError(
            f"{option} {location}: cannot be loaded ({reason}); give {wanted}, and check the network "
            "connection if it is to be downloaded"
        ) from error

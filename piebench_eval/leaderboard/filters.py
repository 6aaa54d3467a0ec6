"""Which published rows a leaderboard shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from piebench_eval.errors import PiebenchError
from piebench_eval.published.row import METRIC_KEYS, Masks, ReadFrom

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.published.row import PublishedRow

NO_MASKS = "none"


@dataclass(frozen=True)
class Filters:
    """Which published rows are shown; None, and no name, for all.

    Attributes:
        models: parts of models' names, such as ``SD3.5``, and families, such as ``flux``.
        images: how many pictures they are means of.
        masks: masks that editors were given; ``none`` for rows of which no use of masks is known.
        read_from: where they were read.
        since: the first year of publication.
    """

    models: Sequence[str] = ()
    images: int | None = None
    masks: str | None = None
    read_from: Sequence[str] = ()
    since: int | None = None

    def __post_init__(self) -> None:
        _require_known("--masks", [self.masks] if self.masks else [], get_args(Masks))
        _require_known("--read-from", self.read_from, get_args(ReadFrom))

    @property
    def given(self) -> str:
        """The filters as options."""
        options = {
            "--model": ",".join(self.models),
            "--images": self.images,
            "--masks": self.masks,
            "--read-from": ",".join(self.read_from),
            "--since": self.since,
        }
        return " ".join(f"{name} {value}" for name, value in options.items() if value)


def chosen(rows: Sequence[PublishedRow], filters: Filters) -> tuple[list[PublishedRow], list[str]]:
    """The rows that are shown, and remarks on those that do not tell what they are chosen by.

    Raises:
        PiebenchError: none is left.
    """
    tests: list[tuple[bool, Callable[[PublishedRow], bool | None], str]] = [
        (bool(filters.models), lambda row: _is_of_model(row, filters.models), ""),
        (bool(filters.read_from), lambda row: row.read_from in filters.read_from, ""),
        (filters.masks is not None, lambda row: (row.masks_at_inference or NO_MASKS) == filters.masks, ""),
        (
            filters.images is not None,
            lambda row: None if row.images is None else row.images == filters.images,
            "how many pictures they are means of",
        ),
        (
            filters.since is not None,
            lambda row: None if row.year is None else row.year >= (filters.since or 0),
            "its year",
        ),
    ]
    kept, remarks = list(rows), []
    for is_given, test, lack in tests:
        if not is_given:
            continue
        unknown = sum(test(row) is None for row in kept)
        kept = [row for row in kept if test(row)]
        if unknown:
            remarks.append(f"rows left out because their source does not say {lack}: {unknown}")
    if not kept:
        models = ", ".join(dict.fromkeys(row.model for row in rows))
        raise PiebenchError(f"{filters.given}: no published row fits; leave a filter out. Models: {models}")
    return kept, remarks


def require_metric(key: str) -> None:
    """Check the metric that rows are sorted by.

    Raises:
        PiebenchError: there is none of this name.
    """
    _require_known("--sort", [key], METRIC_KEYS)


def _is_of_model(row: PublishedRow, models: Sequence[str]) -> bool:
    return any(name.lower() == row.family or name.lower() in row.model.lower() for name in models)


def _require_known(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [name for name in given if name not in known]:
        raise PiebenchError(f"{option} {', '.join(unknown)}: give one of {', '.join(known)}")

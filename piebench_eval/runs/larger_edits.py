"""Edits that are saved with more pixels than any source has: they will be scored so, which is announced."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from piebench_eval.data.images import KEEPS_SIZE, image_size
from piebench_eval.editors import EDITORS
from piebench_eval.models.location import image_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.runs.store.records import Outcome


def warnings_of_larger_edits(
    data: Path, samples: Iterable[Sample], combinations: Iterable[Combination]
) -> list[str]:
    """What to warn of when a run is planned, as far as the sizes of its edits are known then.

    Args:
        data: the benchmark folder.
        samples: the selected samples.
        combinations: those of the recipe.

    Raises:
        PiebenchError: an image is missing or damaged.
    """
    largest = _largest_side(samples)
    sides = dict.fromkeys(_sides_as_made(combinations).values())
    return [_warning(data, largest, side) for side in sides if side is not None and side > largest]


class LargerEdits:
    """Watches the edits of a run whose sizes are not known before they are made.

    The arguments are those of ``warnings_of_larger_edits``, with the same errors.
    """

    def __init__(self, data: Path, samples: Iterable[Sample], combinations: Iterable[Combination]):
        sides = _sides_as_made(combinations)
        self._unknown = {name for name, side in sides.items() if side is None}
        self._largest = _largest_side(samples) if self._unknown else 0
        self._data, self._said = data, set[int]()

    def warning(self, outcome: Outcome) -> str | None:
        """What the first edit of a combination shows; None if it is no larger, or if that has been said."""
        name, side = outcome.key.combination, outcome.record.get("resolution")
        if name not in self._unknown or side is None:
            return None
        self._unknown.discard(name)
        if side <= self._largest or side in self._said:
            return None
        self._said.add(side)
        return _warning(self._data, self._largest, side)


def _sides_as_made(combinations: Iterable[Combination]) -> dict[str, int | None]:
    """Shorter sides of the edits that are saved in the size in which they are made, by combination.

    None where it is known only when one is made: of a model whose configuration is not on disk, and of an
    editor that has a size of its own, or loads what has one.
    """
    look_up = cache(image_sizes)
    sides: dict[str, int | None] = {}
    for combination in combinations:
        common = combination.common
        if common.output_resolution is not None or common.image_loader == KEEPS_SIZE:
            continue
        side = common.resolution
        if combination.loads_itself:
            side = side if EDITORS.get(combination.method).keeps_size else None
        elif side is None:
            sizes = look_up(common.model, common.revision, common.family)
            side = None if sizes is None else sizes.native
        sides[combination.name] = side
    return sides


def _largest_side(samples: Iterable[Sample]) -> int:
    """The shorter side in pixels of the largest picture."""
    return max((min(image_size(sample.file)) for sample in samples), default=0)


def _warning(data: Path, largest: int, side: int) -> str:
    return (
        f"{data}: its pictures have {largest} pixels, and edits are made, saved and scored at {side}; --set "
        f"output_resolution={largest} saves them in the pictures' size"
    )

"""Shards: which samples of a run this process edits. Shards share a run folder and need no server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    T = TypeVar("T")

BLOCK = 8
"""Samples of a block. A block stays together: whatever shard edits it, it gives the same batches."""


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count`` equal parts, counted from 0."""

    index: int = 0
    count: int = 1

    def part(self, items: Sequence[T]) -> list[T]:
        """Every ``count``-th item; the shards' parts together are all items.

        >>> Shard(1, 3).part("abcdefg")
        ['b', 'e']
        """
        return list(items[self.index :: self.count])

    def block_size(self, samples: int) -> int:
        """Samples of a block: 8, or fewer where not every shard would have a block.

        It depends only on the number of samples and of shards, so that shards with any batch sizes, on any
        machines, have the same blocks.
        """
        return max(1, min(BLOCK, samples // self.count))

    def blocks(self, samples: Sequence[T]) -> list[Sequence[T]]:
        """The blocks of a run's samples that are this shard's; every sample is in one block of one shard.

        >>> Shard(1, 2).blocks(range(20))
        [range(8, 16)]
        """
        size = self.block_size(len(samples))
        return self.part([samples[start : start + size] for start in range(0, len(samples), size)])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Read ``INDEX/COUNT``, counted from 0, or ``none`` for the whole run.

    Raises:
        PiebenchError: the text is neither.

    >>> parse_shard("3/8")
    Shard(index=3, count=8)
    """
    if text.strip() == "none":
        return Shard()
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None or not int(found[1]) < int(found[2]):
        raise PiebenchError(
            f"--shard {text}: write INDEX/COUNT counted from 0, such as 0/4, 1/4, 2/4 and 3/4 for four "
            "shards; or none for the whole run"
        )
    return Shard(int(found[1]), int(found[2]))


def shard_from_environment(environment: Mapping[str, str]) -> tuple[Shard, str] | None:
    """The shard that a launcher assigns to this process by Slurm's job array, or by RANK and WORLD_SIZE.

    Returns:
        The shard and the names of the variables; None without such a launcher, or if it started one process.

    Raises:
        PiebenchError: the launcher's variables make no sense.

    >>> shard_from_environment({"RANK": "2", "WORLD_SIZE": "4"})
    (Shard(index=2, count=4), 'RANK and WORLD_SIZE')
    """
    if "SLURM_ARRAY_TASK_ID" in environment and "SLURM_ARRAY_TASK_COUNT" in environment:
        names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
        task, count = _numbers(environment, *names)
        # An array may begin at any number and count in steps: --array=1-9:2.
        spacing = {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_STEP": "1", **environment}
        first, step = _numbers(spacing, "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP")
        index = (task - first) // max(step, 1)
    elif "RANK" in environment and "WORLD_SIZE" in environment:
        names = ("RANK", "WORLD_SIZE")
        index, count = _numbers(environment, *names)
    else:
        return None
    if not 0 <= index < count:
        raise PiebenchError(
            f"{names[0]}={environment[names[0]]} and {names[1]}={count} make no shard; give --shard "
            "INDEX/COUNT (as an array with gaps needs, --array=1,5,7), or --shard none for the whole run"
        )
    return (Shard(index, count), " and ".join(names)) if count > 1 else None


def _numbers(environment: Mapping[str, str], *names: str) -> list[int]:
    try:
        return [int(environment[name]) for name in names]
    except ValueError:
        found = ", ".join(f"{name}={environment[name]}" for name in names)
        raise PiebenchError(
            f"{found}: are no numbers; give --shard INDEX/COUNT, or --shard none for the whole run"
        ) from None

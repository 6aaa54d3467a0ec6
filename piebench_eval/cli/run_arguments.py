"""Turn the texts of ``piebench run``'s options into values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from piebench_eval.cli.console import print_warning
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.runs.shard import Shard


def merge_settings(flags: dict[str, Any], settings: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Merge the recipe's flags with ``--set``.

    Args:
        flags: name of the field to value; None if the flag is not given.
        settings: the key and value of every ``--set``.

    Raises:
        PiebenchError: a key is given two values.
    """
    merged = {key: value for key, value in flags.items() if value is not None}
    for key, value in settings:
        if key in merged and merged[key] != value:
            flag = f"--{key.replace('_', '-')}" if flags.get(key) is not None else "--set"
            raise PiebenchError(f"--set {key}={value}: {flag} says {merged[key]}; give {key} once")
        merged[key] = value
    return merged


def parse_batch_size(text: str) -> int | None:
    """Read ``auto``, which is None, or a number.

    Raises:
        PiebenchError: the text is neither.
    """
    if text == "auto":
        return None
    if not text.isdigit() or int(text) == 0:
        raise PiebenchError(f"--batch-size {text}: use auto, or a number from 1")
    return int(text)


def choose_shard(text: str | None) -> Shard:
    """The shard of ``--shard``, or that of the launcher, with a warning; else the whole run.

    Raises:
        PiebenchError: the text or the launcher's variables are no shard.
    """
    from piebench_eval.runs.shard import Shard, parse_shard, shard_from_environment

    if text is not None:
        return parse_shard(text)
    if (found := shard_from_environment(os.environ)) is None:
        return Shard()
    shard, variables = found
    print_warning(
        f"shard {shard}, by {variables}: this command makes only that part of the run; "
        "--shard none makes the whole run"
    )
    return shard

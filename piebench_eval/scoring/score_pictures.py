"""Scoring pictures into a scores file: what is known already is found, the rest is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.scoring.cache import ScoreCache
from piebench_eval.scoring.images import check_sizes
from piebench_eval.scoring.score import (
    cells_file,
    do_work,
    score_rows,
    work_on,
    write_scores,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from piebench_eval.scoring.evaluation_set import EvaluationSet
    from piebench_eval.scoring.score import Scoring


def score_pictures(
    pictures: EvaluationSet,
    scoring: Scoring,
    on_progress: Callable[[str, int, int], None],
    file: Path | None = None,
    device: str = "auto",
    batch: int | None = None,
) -> int:
    """Score pictures into a scores file; of an older one nothing is computed again.

    Args:
        pictures: what is scored.
        scoring: how.
        on_progress: told what is being done, how many pictures are done, and of how many.
        file: the scores file; the pictures' own if None.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch: pictures that a network is given at a time; None for what suits the device.

    Returns:
        How many pictures were brought to their source's size.

    Raises:
        PiebenchError: there are none, a picture cannot be read or has another size, or a network cannot be
            loaded.
    """
    if not pictures.edited_images:
        raise PiebenchError("there is nothing to score")
    file = file or pictures.scores_file
    resized = check_sizes(pictures.edited_images, scoring.resize)
    cells = ScoreCache(cells_file(file))
    work = []
    for item in work_on(pictures.edited_images, scoring.scores, cells):
        work.append(item)
        on_progress("looking what is known", len(work), len(pictures.edited_images))
    if left := sum(bool(item.missing(cells).scores) for item in work):
        done = 0
        on_progress("scoring", done, left)
        for finished in do_work(work, scoring.suite(device, batch), cells, scoring.resize):
            done += finished
            on_progress("scoring", done, left)
    about = {**pictures.about, "missing": pictures.missing, "resized": resized}
    write_scores(file, score_rows(work, cells), scoring, about)
    return len(resized)

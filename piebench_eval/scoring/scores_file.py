"""The scores file: a CSV with a row per edited image, and a JSON file that says how it was made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole
from piebench_eval.runs.store.manifest import library_versions
from piebench_eval.scoring.cache import ScoreCache, scoring_versions
from piebench_eval.scoring.images import check_sizes
from piebench_eval.scoring.score import compute_scores, known_scores, missing_scores, scoring_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from piebench_eval.scoring.evaluation_set import EvaluationSet
    from piebench_eval.scoring.score import Scoring, ScoringJob


def score_images(
    evaluation_set: EvaluationSet,
    scoring: Scoring,
    on_progress: Callable[[str, int, int], None],
    file: Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
) -> int:
    """Score edited images into a scores file; scores in the cache beside it are not computed again.

    Args:
        evaluation_set: the edited images.
        scoring: how they are scored.
        on_progress: called with what is being done, how many images are done, and of how many.
        file: the scores file; the evaluation set's own if None.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch_size: images per forward pass of a network; None for what suits the device.

    Returns:
        How many images were resized to their source's size.

    Raises:
        PiebenchError: there are none, an image cannot be read or has another size, or a network cannot be
            loaded.
    """
    if not evaluation_set.edited_images:
        raise PiebenchError("there is nothing to score")
    file = file or evaluation_set.scores_file
    resized = check_sizes(evaluation_set.edited_images, scoring.resize)
    score_cache = ScoreCache(cache_file(file))
    jobs = []
    for job in scoring_jobs(evaluation_set.edited_images, scoring.specs):
        jobs.append(job)
        on_progress("checking the cache", len(jobs), len(evaluation_set.edited_images))
    if left := missing_scores(jobs, score_cache):
        done = 0
        on_progress("scoring", done, len(left))
        for finished in compute_scores(
            left, scoring.networks(device, batch_size), score_cache, scoring.resize
        ):
            done += finished
            on_progress("scoring", done, len(left))
    about = {**evaluation_set.about, "missing": evaluation_set.missing, "resized": resized}
    write_scores(file, score_rows(jobs, score_cache), scoring, about)
    return len(resized)


def score_rows(jobs: Sequence[ScoringJob], score_cache: ScoreCache) -> list[dict[str, Any]]:
    """A row of the scores file per edited image: id, labels, type, and a score per column."""
    known = known_scores(jobs, score_cache)
    rows = []
    for job in jobs:
        sample = job.edited_image.sample
        scores = {spec.column: known[key] for spec, key in zip(job.specs, job.keys, strict=True)}
        rows.append({"id": sample.id, **job.edited_image.labels, "type": sample.type_id, **scores})
    return rows


def write_scores(
    file: Path, rows: Sequence[dict[str, Any]], scoring: Scoring, provenance: dict[str, Any]
) -> None:
    """Write the scores file and the JSON file beside it.

    Args:
        file: the scores file, a CSV.
        rows: from ``score_rows``.
        scoring: how the images were scored.
        provenance: where the images come from.
    """
    import pandas as pd

    frame = pd.DataFrame(rows)
    labels = [column for column in frame.columns if column not in scoring.columns]
    write_whole(file, frame[[*labels, *scoring.columns]].to_csv(index=False, na_rep="nan").encode())
    about = {**scoring.describe(), **provenance, "versions": {**library_versions(), **scoring_versions()}}
    write_whole(provenance_file(file), json.dumps(about, indent=1).encode())


def provenance_file(scores_file: Path) -> Path:
    """The JSON file beside a scores file, which says how the scores were made."""
    return scores_file.with_suffix(".json")


def cache_file(scores_file: Path) -> Path:
    """The score cache beside a scores file."""
    return scores_file.with_suffix(".cache.sqlite")

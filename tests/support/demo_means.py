"""Means of a demo's edits, without the command."""

import pandas as pd

from piebench_eval.metrics.networks.metric_models import networks_for
from piebench_eval.recipes.builtin import recipe_of_embedded
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.scoring.cache import ScoreCache
from piebench_eval.scoring.edited_images import edited_images_of_run
from piebench_eval.scoring.score import Scoring, compute_scores, scoring_jobs
from piebench_eval.scoring.scores_file import score_rows
from piebench_eval.tables.aggregate import aggregate
from tests.support.runs import run

OFFICIAL = Scoring.columns


def demo_means(model, combinations, data, folder, samples, columns=OFFICIAL, **changes):
    """Edit by some combinations of an embedded model's recipe, and average their scores.

    Args:
        model: ``demo`` or ``demo-flow``.
        combinations: their names.
        data: the drawn benchmark.
        folder: of the run.
        samples: how many, which is also the batch size.
        columns: the metrics.
        changes: overrides of the recipe.
    """
    pairs = [name.split("+") for name in combinations]
    chosen = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    fields = select_combinations(read_recipe_fields(recipe_of_embedded(model)), *chosen, model)
    recipe = build_recipe(fields, changes, model)
    run(recipe, data, folder, Selection(limit=samples), batch_size=samples)
    edited_images, _ = edited_images_of_run(RunStore.read(folder))
    edits = [edit for edit in edited_images if edit.labels["inversion"]]
    scoring = Scoring(networks_for(model), columns=columns)
    score_cache = ScoreCache(folder / "scores.cache.sqlite")
    jobs = list(scoring_jobs(edits, scoring.specs))
    for _ in compute_scores(jobs, scoring.networks("cpu"), score_cache):
        pass
    return aggregate(pd.DataFrame(score_rows(jobs, score_cache)))

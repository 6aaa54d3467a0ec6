"""Count the model evaluations of a plan's edits in a separate process, while the plan is executed.

Counting needs PyTorch, which a session that only hands out jobs does not import; it takes seconds; and it
draws random numbers, which must not change those of any edit.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe

_COUNT = "from piebench_eval.runs.estimates.evaluation_forecaster import _count; _count()"
_NICENESS = 10


class EvaluationForecaster:
    """Counts the evaluations of one sample's edit by every combination, of one or several recipes."""

    def __init__(self, out: Path, recipes: Sequence[Recipe], sample: Sample):
        """Args: out: the run folder, with hashes of plugins. recipes: of the plans. sample: a typical one."""
        self._request = pickle.dumps((out, [recipe.to_yaml() for recipe in recipes], sample))
        self._process: subprocess.Popen[bytes] | None = None
        self._counts: list[dict[str, float]] | None = None

    def get(self) -> list[dict[str, float]] | None:
        """Evaluations by combination for each recipe; None while they are counted, from the first call on.

        If counting fails, the list is empty: the run itself reports what is wrong.
        """
        if self._counts is None:
            self._poll()
        return self._counts

    def close(self) -> None:
        """Stop counting."""
        if (process := self._process) is not None:
            self._process = None
            process.kill()
            assert process.stdout is not None
            process.stdout.close()
            process.wait()

    def _poll(self) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COUNT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the session
            )
            assert self._process.stdin is not None
            with suppress(BrokenPipeError), self._process.stdin as pipe:
                pipe.write(self._request)
        elif self._process.poll() is not None:
            assert self._process.stdout is not None
            with self._process.stdout as pipe:
                output = pipe.read()
            self._counts = json.loads(output) if self._process.returncode == 0 else []
            self._process = None


def _count() -> None:
    """Read the request from standard input, and write the counts to standard output."""
    import yaml

    from piebench_eval.recipes.recipe import build_recipe
    from piebench_eval.runs.forecast import count_evaluations
    from piebench_eval.runs.store.folder import plugins_of_run

    if hasattr(os, "nice"):  # Windows has none
        os.nice(_NICENESS)
    out, texts, sample = pickle.load(sys.stdin.buffer)
    known = plugins_of_run(out)
    recipes = [build_recipe(yaml.safe_load(text), {}, "recipe", known) for text in texts]
    counts = [
        {key.combination: cost.computed for key, cost in count_evaluations(recipe, [sample]).items()}
        for recipe in recipes
    ]
    json.dump(counts, sys.stdout)

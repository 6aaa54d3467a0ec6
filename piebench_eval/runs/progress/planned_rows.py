"""Counting the UNet rows of a plan's edits while it is executed, in a process of its own.

Counting needs PyTorch, which a session that only hands out jobs does not import; it takes seconds; and it
draws random numbers, which no edit may notice.
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

_COUNT = "from piebench_eval.runs.progress.planned_rows import _count; _count()"
_NICENESS = 10


class PlannedRows:
    """Rows of one sample's edit by every combination, of one or several recipes."""

    def __init__(self, out: Path, recipes: Sequence[Recipe], sample: Sample):
        """Args: out: the run folder, which knows its plugins. recipes: the plans'. sample: a typical one."""
        self._asked = pickle.dumps((out, [recipe.to_yaml() for recipe in recipes], sample))
        self._process: subprocess.Popen[bytes] | None = None
        self._found: list[dict[str, float]] | None = None

    def get(self) -> list[dict[str, float]] | None:
        """Rows by combination for each recipe; None while they are counted, which the first call begins.

        Where counting fails there is nothing in the list: the run itself says what is wrong.
        """
        if self._found is None:
            self._look()
        return self._found

    def close(self) -> None:
        """Stop counting."""
        if (process := self._process) is not None:
            self._process = None
            process.kill()
            assert process.stdout is not None
            process.stdout.close()
            process.wait()

    def _look(self) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COUNT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # an interrupt at the keyboard is for the session
            )
            assert self._process.stdin is not None
            with suppress(BrokenPipeError), self._process.stdin as pipe:
                pipe.write(self._asked)
        elif self._process.poll() is not None:
            assert self._process.stdout is not None
            with self._process.stdout as pipe:
                told = pipe.read()
            self._found = json.loads(told) if self._process.returncode == 0 else []
            self._process = None


def _count() -> None:
    """Read what is asked from standard input, and write the rows to standard output."""
    import yaml

    from piebench_eval.recipes.recipe import build_recipe
    from piebench_eval.runs.forecast import count_rows
    from piebench_eval.runs.store.folder import plugins_of_run

    if hasattr(os, "nice"):  # Windows has none
        os.nice(_NICENESS)
    out, texts, sample = pickle.load(sys.stdin.buffer)
    known = plugins_of_run(out)
    recipes = [build_recipe(yaml.safe_load(text), {}, "recipe", known) for text in texts]
    rows = [
        {key.combination: cost.computed for key, cost in count_rows(recipe, [sample]).items()}
        for recipe in recipes
    ]
    json.dump(rows, sys.stdout)

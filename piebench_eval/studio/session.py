"""The studio without its page: a model, a benchmark, and edits of one sample as tasks of the worker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from piebench_eval.api.editing import edit_sample, keep_loaded, reconstruct_sample, require_usable
from piebench_eval.demo.embedded import is_embedded
from piebench_eval.diffusion.inside import Inside
from piebench_eval.diffusion.observer import EditObserver
from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole
from piebench_eval.recipes.compatibility import cautions
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.studio.progress import Cancelled, EditProgress, WatchedCounter
from piebench_eval.studio.recording import Recording, with_recording
from piebench_eval.studio.scorer import Scorer, source_of_edit
from piebench_eval.studio.setup import Setup, known_combinations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.inside import Reconstruction
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.machine import MachineOptions

_FIRST_CHOICES = ("direct+p2p", "flowedit+plain")
"""What is chosen in a new page: the first of these that goes with the model."""


@dataclass(frozen=True, eq=False)  # Gradio hashes what the page remembers, and arrays have no hash
class Made:
    """An edit.

    Attributes:
        name: the combination or editor.
        file: the edit as a PNG with what made it in its metadata.
        source: the source at its pixels ``[height, width, 3]``.
        seconds: that it took.
        scores: by column.
        notes: for the user.
        inside: what was seen of it while it was made.
        reconstruct: takes the source branch to its end, as a task; None without an inversion.
    """

    name: str
    file: Path
    source: NDArray[np.uint8]
    seconds: float
    scores: dict[str, float]
    notes: list[str] = field(default_factory=list)
    inside: Inside = field(default_factory=Inside)
    reconstruct: Callable[..., Reconstruction] | None = None


class Studio:
    """A model and a benchmark.

    Attributes:
        model: diffusers directory, hub id, or an embedded model's name.
        data: the benchmark's folder; None for the embedded one.
        samples: its samples; none without a benchmark.
        folder: where uploaded pictures and edits are kept.
        combinations: names of what goes with the model.
    """

    def __init__(
        self,
        model: str,
        machine: MachineOptions,
        folder: Path,
        samples: Sequence[Sample] = (),
        data: Path | None = None,
    ):
        self.model, self.data, self.samples, self.folder = model, data, list(samples), folder
        self.combinations = known_combinations(model)
        self._machine, self._scorer = machine, Scorer(model, machine.devices)

    @property
    def first_choice(self) -> list[str]:
        """What is chosen in a new page."""
        return [name for name in _FIRST_CHOICES if name in self.combinations][:1] or self.combinations[:1]

    def warm_up(self, tell: Callable[[EditProgress], None], is_cancelled: Callable[[], bool]) -> None:
        """Load the model, as a task, before the first edit asks for it; an embedded one edits already."""
        setup = Setup(self.model, tuple(self.first_choice), {"steps": 2} if is_embedded(self.model) else {})
        for name in setup.combinations:
            keep_loaded(require_usable(setup.recipe(name)), self._machine)
        if is_embedded(self.model) and self.samples:
            for task in self.tasks(setup, self.samples[0]):
                task(tell, is_cancelled)

    def tasks(self, setup: Setup, sample: Sample) -> list[Callable[..., Made]]:
        """The edits of a sample by a setup, as tasks of a ``Request``.

        Raises:
            PiebenchError: a combination is unknown, or a setting does not fit.
        """
        recipes = {name: setup.recipe(name) for name in setup.combinations}
        for recipe in recipes.values():
            require_usable(recipe)
        return [partial(self._edit, setup, sample, name, recipe) for name, recipe in recipes.items()]

    def _edit(
        self,
        setup: Setup,
        sample: Sample,
        name: str,
        recipe: Recipe,
        tell: Callable[[EditProgress], None],
        is_cancelled: Callable[[], bool],
    ) -> Made:
        combination = require_usable(recipe)
        (planned,) = count_evaluations(recipe, [sample]).values()
        counter = WatchedCounter(planned.forward, tell, is_cancelled)
        observer = EditObserver()
        result = edit_sample(recipe, sample, self._machine, counter, observer)
        if is_cancelled():
            raise Cancelled
        notes = [*cautions([combination]), *result.notes]
        scores: dict[str, float] = {}
        try:
            scores = self._scorer.scores(sample, result.image, combination.common.image_loader)
        except PiebenchError as error:
            notes.append(f"no scores: {error}")
        source = source_of_edit(sample, result.image, combination.common.image_loader).image
        png = with_recording(result.image, self._recording(setup, sample, name, recipe))
        file = self.folder / "edits" / hashlib.sha256(png).hexdigest()[:16] / f"{name}.png"
        write_whole(file, png)
        again = None if combination.is_editor else partial(self._reconstruct, sample, recipe)
        return Made(name, file, source, result.seconds, scores, notes, observer.insides[0], again)

    def _reconstruct(
        self,
        sample: Sample,
        recipe: Recipe,
        tell: Callable[[EditProgress], None],
        is_cancelled: Callable[[], bool],
    ) -> Reconstruction:
        counter = WatchedCounter(0, tell, is_cancelled)
        return reconstruct_sample(recipe, sample, self._machine, counter)

    def _recording(self, setup: Setup, sample: Sample, name: str, recipe: Recipe) -> Recording:
        fields: dict[str, Any] = {
            text: getattr(sample, text)
            for text in ("source_prompt", "target_prompt", "blended_word", "instruction")
        }
        in_benchmark = any(sample.file == own.file for own in self.samples)
        return Recording(
            model=self.model,
            combination=name,
            combinations=list(setup.combinations),
            settings=dict(setup.settings),
            sample=sample.id if in_benchmark else "",
            recipe=recipe.stored.fields,
            **fields,
        )

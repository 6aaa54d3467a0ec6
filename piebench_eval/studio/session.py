"""The studio without its page: a model, a benchmark, and edits of one sample as tasks of the worker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from piebench_eval.api.editing import edit_sample, keep_loaded, reconstruct_sample, require_usable
from piebench_eval.data.images import read_image
from piebench_eval.demo.embedded import is_embedded
from piebench_eval.diffusion.inside import Inside
from piebench_eval.diffusion.observer import EditObserver
from piebench_eval.editors.pipelines.calling import watched_rows
from piebench_eval.files import write_whole
from piebench_eval.models.location import check_model_location
from piebench_eval.recipes.compatibility import cautions
from piebench_eval.recipes.plugins import load_plugins
from piebench_eval.runs.editor_models import check_editor_models
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.runs.jobs import check_edits
from piebench_eval.studio.needs import require_needs
from piebench_eval.studio.own_models import as_found_from_anywhere, models_of_editors, require_on_this_machine
from piebench_eval.studio.picture_folder import picture_key
from piebench_eval.studio.progress import Cancelled, EditProgress, WatchedCounter
from piebench_eval.studio.recording import LARGEST_SOURCE, Recording, with_recording
from piebench_eval.studio.scorer import Scorer, source_of_edit
from piebench_eval.studio.setup import Setup, known_combinations
from piebench_eval.studio.sources import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
        editor_models: models of editors that load their own, see ``models_of_editors``.
        plugins: files that add inversions, methods and editors.
        device: see ``resolve_device``.
        allow_pickle: weights may be in pickle files.
        combinations: names of what goes with the model.
    """

    def __init__(
        self,
        model: str,
        machine: MachineOptions,
        folder: Path,
        samples: Sequence[Sample] = (),
        data: Path | None = None,
        editor_models: Mapping[str, str] | None = None,
        plugins: Sequence[Path] = (),
    ):
        """Look at what there is, and load no weights.

        Raises:
            PiebenchError: the model's folder is missing or damaged, an editor is unknown, or a plugin fails.
        """
        check_model_location(model, machine.allow_pickle)
        load_plugins([str(file) for file in plugins])
        self.model, self.data, self.folder = as_found_from_anywhere(model), data, folder
        self.samples = list(samples)
        self.plugins, self.device, self.allow_pickle = tuple(plugins), machine.devices, machine.allow_pickle
        self.editor_models = models_of_editors(self.model, editor_models or {})
        self.combinations = known_combinations(model, self.editor_models)
        self._machine, self._scorer = machine, Scorer(model, self.device, self.allow_pickle)

    @property
    def first_choice(self) -> list[str]:
        """What is chosen in a new page."""
        return [name for name in _FIRST_CHOICES if name in self.combinations][:1] or self.combinations[:1]

    def setup(self, combinations: tuple[str, ...], settings: Mapping[str, Any] | None = None) -> Setup:
        """What is edited with here."""
        return Setup(self.model, combinations, settings or {}, self.editor_models)

    def warm_up(self, tell: Callable[[EditProgress], None], is_cancelled: Callable[[], bool]) -> None:
        """Load the model, as a task, before the first edit asks for it; an embedded one edits already.

        An embedded model's layers are too small to gain from further threads, whose cores the page has use
        for; its bits are the same with any number of them.
        """
        import torch

        if is_embedded(self.model):
            torch.set_num_threads(1)  # of this thread, the worker's
        setup = self.setup(tuple(self.first_choice), {"steps": 2} if is_embedded(self.model) else {})
        for name in (one for one in setup.combinations if one not in self.editor_models):
            keep_loaded(require_usable(setup.recipe(name)), self._machine)
        if is_embedded(self.model) and self.samples:
            for task in self.tasks(setup, self.samples[0]):
                task(tell, is_cancelled)

    def tasks(self, setup: Setup, sample: Sample) -> list[Callable[..., Made]]:
        """The edits of a sample by a setup, as tasks of a ``Request``.

        Raises:
            PiebenchError: a combination is unknown, a setting does not fit, an editor needs what the sample
                lacks, or its model is not here.
        """
        recipes = {name: setup.recipe(name) for name in setup.combinations}
        for name, recipe in recipes.items():
            combination = require_usable(recipe)
            require_needs(combination, sample)
            check_edits(recipe, [sample])
            if name in setup.editor_models:
                require_on_this_machine(name, setup.model_of(name))
                check_editor_models(recipe, self._machine)
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
        with watched_rows(counter.count_watched):
            result = edit_sample(recipe, sample, self._machine, counter, observer)
        if is_cancelled():
            raise Cancelled
        scores, missing = self._scorer.scores(sample, result.image, combination.common.image_loader)
        notes = [*cautions([combination]), *result.notes, *missing]
        source = source_of_edit(sample, result.image, combination.common.image_loader).image
        png = self._png(result.image, setup, sample, name, recipe)
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

    def _png(
        self, edited: NDArray[np.uint8], setup: Setup, sample: Sample, name: str, recipe: Recipe
    ) -> bytes:
        """The edit as a PNG with all that restores it; see ``studio.restoring``."""
        benchmarks = next((one for one in self.samples if one.id == sample.id), None)
        own_models = {one: self.editor_models[one] for one in setup.combinations if one in self.editor_models}
        recording = Recording(
            model=self.model,
            editor_models=own_models,
            combination=name,
            combinations=list(setup.combinations),
            settings=dict(setup.settings),
            source_prompt=sample.marked_source_prompt,
            target_prompt=sample.marked_target_prompt,
            blended_word=sample.blended_word,
            instruction=sample.instruction,
            sample=sample.id if benchmarks else "",
            picture=picture_key(read_image(sample.file)),
            recipe=recipe.stored.fields,
        )
        travels = benchmarks is None and sample.file.stat().st_size <= LARGEST_SOURCE
        painted = sample.mask_rle != (benchmarks.mask_rle if benchmarks else ())
        return with_recording(
            edited,
            recording,
            sample.file.read_bytes() if travels else None,
            Source(sample.file, sample).mask() if painted else None,
        )

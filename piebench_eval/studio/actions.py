"""What happens on the page, without Gradio: functions of what is shown that return what to show."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import parts_of_name
from piebench_eval.studio.commands import Place, python_lines, run_commands
from piebench_eval.studio.intake import take_in
from piebench_eval.studio.knobs import changed_settings
from piebench_eval.studio.needs import looks_at_mask
from piebench_eval.studio.picture_folder import own_file, write_mask
from piebench_eval.studio.recording import read_recording
from piebench_eval.studio.restoring import restored_source, restored_texts
from piebench_eval.studio.setup import Setup, knobs_of_setup, require_combinations
from piebench_eval.studio.sources import Source, Texts, sample_to_edit
from piebench_eval.studio.worker import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.studio.progress import EditProgress
    from piebench_eval.studio.session import Made, Studio
    from piebench_eval.studio.worker import Worker

_LOOK_EVERY = 0.5
"""Seconds between looks at edits and at the queue: what is shown takes time from the edits."""


@dataclass(frozen=True)
class Shown:
    """What the page shows of an edit that can be asked for.

    Attributes:
        source: the picture; None if there is none yet.
        texts: prompts.
        combinations: the chosen ones.
        controls: what controls show that were moved, by the setting's name.
    """

    source: Source | None
    texts: Texts
    combinations: tuple[str, ...]
    controls: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Restored:
    """What an uploaded picture brings.

    Attributes:
        shown: what the page shows from now on.
        message: what was done.
    """

    shown: Shown
    message: str


@dataclass(frozen=True)
class EditsState:
    """How far the edits of a request are.

    Attributes:
        names: the edits.
        states: see ``progress_html``.
        made: what there is so far.
        waiting_behind: how many requests come first.
        model_loads: whether one of these is the model's loading.
    """

    names: tuple[str, ...]
    states: Mapping[int, EditProgress | str]
    made: tuple[Made, ...]
    waiting_behind: int
    model_loads: bool


def setup_of(studio: Studio, shown: Shown) -> Setup:
    """The setup that is shown: what edits with the studio's model comes first, and is loaded once.

    Raises:
        PiebenchError: nothing is chosen, or a control shows no value.
    """
    chosen = require_combinations(shown.combinations, studio.combinations)
    plain = studio.setup(tuple(sorted(chosen, key=lambda name: name in studio.editor_models)))
    knobs = [knob for part in knobs_of_setup(plain).values() for knob in part]
    return replace(plain, settings=changed_settings(knobs, shown.controls))


def upload(studio: Studio, file: Path, shown: Shown) -> Restored:
    """Take in a picture; one that the studio made brings its settings back.

    Raises:
        PiebenchError: it cannot be taken in, or what made it cannot be restored.
    """
    taken = take_in(file)
    recording = read_recording(file)
    if recording is None:
        own = own_file(studio.folder / "pictures", taken.picture)
        return Restored(
            Shown(Source(own), shown.texts, shown.combinations, shown.controls), "\n".join(taken.notes)
        )
    known = (name for name in recording.combinations if name in studio.combinations)
    whole = studio.setup(tuple(dict.fromkeys(known)))
    knobs = {knob.name: knob for part in knobs_of_setup(whole).values() for knob in part}
    setup = recording.setup(studio.setup(tuple(studio.combinations)), knobs)
    require_fitting(setup)
    controls = {name: knobs[name].shown_of_any(value) for name, value in setup.settings.items()}
    found = restored_source(file, recording, studio.samples, studio.folder / "pictures")
    texts = restored_texts(recording, found.source.sample if found.source else None)
    message = [
        f"The settings of this edit ({recording.combination}) are restored. {found.message}",
        *recording.left_out(setup),
    ]
    return Restored(
        Shown(found.source or shown.source, texts, setup.combinations, controls), "\n".join(message)
    )


def require_fitting(setup: Setup) -> None:
    """Refuse settings that are no settings.

    Raises:
        PiebenchError: names them.
    """
    for name in setup.combinations:
        setup.recipe(name)


def commands(studio: Studio, shown: Shown) -> tuple[str, str]:
    """The ``piebench run`` lines and the Python lines for what is shown.

    Raises:
        PiebenchError: it cannot be edited.
    """
    setup = setup_of(studio, shown)
    data, sample = _sample(studio, shown)
    recipes = {name: setup.recipe(name) for name in setup.combinations}
    looking = [name for name, one in recipes.items() if looks_at_mask(one.combination(*parts_of_name(name)))]
    mask_files = {}
    if looking and sample.mask_rle:
        mask_files = dict.fromkeys(looking, write_mask(studio.folder / "masks", sample))
    place = Place(data, studio.device, studio.allow_pickle, studio.plugins, mask_files)
    return run_commands(setup, sample, place), python_lines(setup, sample, place)


def edits(studio: Studio, worker: Worker, shown: Shown) -> tuple[Request, Iterator[EditsState]]:
    """Ask for the edits that are shown.

    Returns:
        The request, which can be withdrawn, and how far it is until it ends.

    Raises:
        PiebenchError: they cannot be made.
    """
    setup = setup_of(studio, shown)
    _, sample = _sample(studio, shown)
    request = Request(studio.tasks(setup, sample))
    worker.submit(request)
    return request, _states(worker, request, setup.combinations)


def _states(worker: Worker, request: Request, names: Sequence[str]) -> Iterator[EditsState]:
    states: dict[int, EditProgress | str] = {}
    made: list[Made] = []

    def now() -> EditsState:
        ahead, loads = worker.ahead_of(request), worker.loads_model
        return EditsState(tuple(names), dict(states), tuple(made), ahead, loads and ahead > 0)

    yield now()
    looked = time.monotonic()
    for update in request.updates(_LOOK_EVERY):
        if request.cancelled.is_set():
            break  # the worker ends at the next evaluation, which nobody waits for
        if update is not None and update.progress is not None:
            states[update.place] = update.progress
            if time.monotonic() - looked < _LOOK_EVERY:
                continue  # a page need not follow every evaluation
        elif update is not None:
            states[update.place] = update.problem or f"done in {update.result.seconds:.1f} s"
            if update.result is not None:
                made.append(update.result)
        looked = time.monotonic()
        yield now()
    for place in range(len(names)):
        if not isinstance(states.get(place), str):
            states[place] = "Cancelled"
    yield now()


def _sample(studio: Studio, shown: Shown) -> tuple[Path | None, Sample]:
    return sample_to_edit(shown.source, shown.texts, studio.data, studio.folder / "pictures")

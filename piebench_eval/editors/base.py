"""The interface of an editor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from piebench_eval.methods.base import edits_every_sample, prompts_of_sample
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.methods.base import Prompts
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import Predicts
    from piebench_eval.models.nfe import EvaluationCounter

    Pictures = Sequence[NDArray[np.uint8]]
    EditLatents = Callable[
        [DiffusionModel, Sequence[Sample], EditInputs, Schedule, Any],
        tuple[torch.Tensor, list[list[str]]],
    ]

PromptedBy = Literal["target prompt", "instruction", "both", "not declared"]
MasksUsed = Literal["none", "predicted", "benchmark", "not declared"]

NO_MODEL = "none"
"""The model of a recipe whose editors load none."""


@dataclass(frozen=True)
class EditedPictures:
    """What a picture editor returns.

    Attributes:
        pictures: one per sample, each ``[height, width, 3]``: whole grey levels (uint8), or floats from 0
            to 1.
        flagged: for each sample, whether a safety checker has blackened the picture
            (``nsfw_content_detected`` of diffusers); nowhere if None.
        evaluations: model evaluations per picture; those that ``Editor.evaluations`` says if None.
        notes: for each sample, notes for the user; none if None.
    """

    pictures: Sequence[Any]
    flagged: Sequence[bool] | None = None
    evaluations: int | None = None
    notes: Sequence[list[str]] | None = None


@dataclass
class LoadedEditor:
    """What an editor with its own loader works with, in the place of a model of the package.

    Attributes:
        content: what its ``load`` returned; None if it has none.
        device: where it lies.
        evaluations: model evaluations of the batch at hand.
    """

    content: Any
    device: torch.device
    evaluations: EvaluationCounter


@dataclass(frozen=True)
class LoadOptions:
    """On what and how an editor loads what it needs.

    Attributes:
        device: where it lies.
        allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.
        offload_text_encoders: networks are on a GPU only while they compute.
        sequential_offload: so are their layers.
    """

    device: torch.device
    allow_pickle: bool = False
    offload_text_encoders: bool = False
    sequential_offload: bool = False


def needs_nothing(settings: Any, common: Any) -> str | None:
    """The default ``Editor.settings_problem``: None, since all settings fit."""
    return None


def loads_all_parts(settings: Any) -> Collection[str]:
    """The default ``Editor.leaves_out``: nothing."""
    return ()


def size_of_the_source(loaded: Any, common: Any) -> int | None:
    """The default ``Editor.native_resolution``: None, since the editor works at any size."""
    return None


@dataclass(frozen=True, kw_only=True)
class Editor:
    """An editor: its name in print, what it looks at, its settings and its functions.

    It works on latents, with a model that the package loads (``edit_latents``), or on pictures, with whatever
    it loads itself (``edit``). An inversion with a method is an editor of the first kind.

    Attributes:
        title: its name in print.
        paper: where it was published.
        equation: its place in the paper.
        settings: the recipe section that it reads; every field has a default.
        prompted_by: what it is told: the target prompt, the instruction, or both.
        masks: which masks it looks at: none, those that it predicts itself, or those of the benchmark, which
            say where the edit has to be.
        edit_latents: ``(model, samples, inputs, schedule, settings)`` -> latents
            ``[samples, channels, h, w]`` and notes for each sample.
        edit: ``(loaded, pictures, samples, settings, common) -> EditedPictures`` for a batch; ``loaded`` is
            what ``load`` returned, and ``common`` the recipe's settings that all combinations share.
        load: ``(settings, common, options: LoadOptions) -> loaded``, of which heavy imports are part; None if
            nothing is loaded.
        pipelines: where ``load`` loads a whole pipeline of diffusers, classes of which the model's folder has
            to be one, any if empty, see ``editors.pipelines``; None if it does not.
        leaves_out: ``settings`` -> parts of the pipeline that are not loaded.
        model: the model that it loads unless the recipe names one; None if there is none.
        recipe: the package's recipe with its published settings, for who names the editor and no recipe.
        needs_model: whether a recipe has to name a model.
        keeps_size: whether ``edit`` has to return pictures in the size in which it is given them; otherwise
            in any of the same aspect ratio.
        evaluations: ``(settings, common, guidance)`` -> model evaluations per picture; None if unknown. The
            guidance is None where the editor loads its own model. Those of ``edit_latents`` are counted
            anyway: there it is for forecasts, which otherwise call it with a dummy model that has no denoiser
            for ``diffusion.loop.edit``; an editor that samples with that declares them.
        native_resolution: ``(loaded, common)`` -> shorter side in pixels of the pictures that ``edit`` is
            given where the recipe's ``resolution`` is empty; None for that of each source.
        prompts: ``(sample, settings) -> Prompts`` of ``edit_latents``.
        predicts: what the models predict that ``edit_latents`` works with.
        problem: ``(sample, settings)`` -> why the editor cannot edit the sample, or None.
        settings_problem: ``(settings, common)`` -> why the settings do not fit, and the remedy; or None.
        under: ``settings -> (prompted_by, masks)`` where what it looks at depends on them; None where not.
    """

    title: str
    paper: str
    prompted_by: PromptedBy
    masks: MasksUsed
    equation: str = ""
    settings: type[Settings] = Settings
    edit_latents: EditLatents | None = None
    edit: Callable[[Any, Pictures, Sequence[Sample], Any, Any], EditedPictures] | None = None
    load: Callable[[Any, Any, LoadOptions], Any] | None = None
    pipelines: tuple[str, ...] | None = None
    leaves_out: Callable[[Any], Collection[str]] = loads_all_parts
    model: str | None = None
    recipe: str | None = None
    needs_model: bool = True
    keeps_size: bool = True
    evaluations: Callable[[Any, Any, Guidance | None], int | None] | None = None
    native_resolution: Callable[[Any, Any], int | None] = size_of_the_source
    prompts: Callable[[Sample, Any], Prompts] = prompts_of_sample
    predicts: tuple[Predicts, ...] = ("epsilon", "velocity")
    problem: Callable[[Sample, Any], str | None] = edits_every_sample
    settings_problem: Callable[[Any, Any], str | None] = needs_nothing
    under: Callable[[Any], tuple[PromptedBy, MasksUsed]] | None = None

    def __post_init__(self) -> None:
        """Require one function that edits.

        Raises:
            TypeError: there is none, or both.
        """
        if (self.edit is None) == (self.edit_latents is None):
            raise TypeError(f"editor {self.title!r}: give it one of edit and edit_latents")

    def with_settings(self, settings: Any) -> Editor:
        """The editor with what it looks at under its settings."""
        if self.under is None:
            return self
        prompted_by, masks = self.under(settings)
        return replace(self, prompted_by=prompted_by, masks=masks, under=None)

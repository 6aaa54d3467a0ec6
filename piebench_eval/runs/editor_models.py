"""Checks of editors that load a whole pipeline, before any weight is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.editors import EDITORS
from piebench_eval.editors.pipelines.loading import require_accelerate
from piebench_eval.editors.pipelines.location import check_pipeline_location
from piebench_eval.errors import PiebenchError
from piebench_eval.models.quantization import FULL
from piebench_eval.runs.jobs import model_specs

if TYPE_CHECKING:
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import ModelSpec
    from piebench_eval.runs.machine import MachineOptions


def check_editor_models(recipe: Recipe, machine: MachineOptions) -> None:
    """Check the models that editors load themselves, and what they cannot be loaded with.

    Raises:
        PiebenchError: a model is not there, is no pipeline that its editor takes, or an option changes layers
            of the package's own models alone.
    """
    for model in model_specs(recipe):
        if not model.editor:
            continue
        _require_plain(model, machine)
        editor = EDITORS.get(model.editor)
        if editor.pipelines is not None:
            without = editor.leaves_out(recipe.combination("", model.editor).editor_settings)
            check_pipeline_location(
                model.name, editor.pipelines, machine.allow_pickle, model.revision, without
            )
            if machine.sequential_offload:
                require_accelerate("--sequential-offload")
            if machine.offload_text_encoders:
                require_accelerate("--offload-text-encoders")


def _require_plain(model: ModelSpec, machine: MachineOptions) -> None:
    """Refuse options that an editor's own networks would be left without, in silence.

    Raises:
        PiebenchError: names the option.
    """
    asked = {
        "--deterministic": bool(machine.deterministic),
        "--compile": machine.compile,
        f"weights={model.weights}": model.weights != FULL,
    }
    for option, given in asked.items():
        if given:
            raise PiebenchError(
                f"{option}: is for models that inversions and methods edit with, and editor {model.editor} "
                f"loads its own networks, if any; leave it out, or run {model.editor} alone"
            )

"""Edit one picture from Python."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from piebench_eval.api.arguments import editor_names
from piebench_eval.data.images import image_size
from piebench_eval.data.masks import encode_rle, mask_image_to_rle
from piebench_eval.data.prompts import blended_word_problem
from piebench_eval.data.sample import Sample
from piebench_eval.demo.embedded import DEMO, is_embedded
from piebench_eval.diffusion.feature_limits import parse_feature_limits
from piebench_eval.editors import EDITORS
from piebench_eval.editors.texts import needs_instruction
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.models.cache import Cache
from piebench_eval.models.device import resolve_device
from piebench_eval.models.device_errors import release_memory
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.builtin import recipe_of_embedded
from piebench_eval.recipes.compatibility import cautions, require_compatible, require_fitting_editors
from piebench_eval.recipes.plugins import code_of, load_plugins
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.runs.batch_editing import edit_batch, editor_of
from piebench_eval.runs.editor_models import check_editor_models
from piebench_eval.runs.feature_places import worker_limits
from piebench_eval.runs.jobs import check_edits, model_spec
from piebench_eval.runs.machine import MachineOptions, WorkerSpec
from piebench_eval.runs.model_runner import ModelRunner
from piebench_eval.runs.reconstruction import reconstruct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from piebench_eval.data.images import Size
    from piebench_eval.diffusion.inside import Reconstruction
    from piebench_eval.diffusion.observer import EditObserver
    from piebench_eval.editors.base import Editor
    from piebench_eval.editors.function import EditFunction
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.nfe import EvaluationCounter
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import ModelSpec
    from piebench_eval.runs.runner import EditResult

_ID, _MODEL = "picture", "CompVis/stable-diffusion-v1-4"
_kept: dict[str, ModelRunner] = {}
"""The runner of an editor that loads what it needs itself, of the last call, by all that it was loaded by."""


def edit(
    image: str | Path | Image.Image | NDArray[np.uint8],
    source_prompt: str,
    target_prompt: str,
    *,
    inversion: str | None = None,
    method: str | None = None,
    editor: str | EditFunction | None = None,
    blended_word: str = "",
    instruction: str = "",
    mask: str | Path | NDArray[np.bool_] | None = None,
    model: str | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
    device: str = "auto",
    deterministic: bool | None = None,
    offload_text_encoders: bool | None = None,
    sequential_offload: bool = False,
    allow_pickle: bool = False,
    feature_memory: str | None = None,
    observer: EditObserver | None = None,
) -> Image.Image:
    """Edit one picture.

    The model stays loaded for the next call, and the inversion of the last picture is kept: trying other
    target prompts, methods and settings on it costs less. What an editor loads itself stays for the next call
    with the same settings.

    Args:
        image: a file, a PIL picture, or an array ``[height, width, 3]`` of grey levels 0..255. The central
            square is edited, at the model's resolution, unless ``settings`` say otherwise.
        source_prompt: describes the picture.
        target_prompt: describes the edit.
        inversion: name of the inversion, see ``piebench methods``; ``direct`` if None.
        method: name of the editing method; ``p2p`` if None.
        editor: name of an editor in the place of both, or a function, as ``run`` takes it.
        blended_word: words of the source and of the target prompt that local blend limits the edit to,
            separated by a blank, or phrases separated by "|"; empty edits the whole picture.
        instruction: what an editor is told that is prompted by instructions.
        mask: where to edit, for editors that look at the benchmark's masks: a file whose bright pixels say
            so, or an array ``[height, width]`` of bool, of the picture's size.
        model: diffusers directory or hub id of a model of a family in ``piebench methods``, or ``demo`` or
            ``demo-flow``; None: the editor's own, or Stable Diffusion 1.4.
        config: a recipe file, or ``paper`` or ``table1``; None for the defaults.
        settings: overrides of the recipe's fields: ``{"steps": 20, "method.cross_replace_steps": 0.8}``.
        plugins: Python files that add inversions, methods and editors.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        deterministic: the same bits for any number of CPU threads, in fp32; None: for embedded models alone.
        offload_text_encoders: text encoders leave the GPU once prompts are embedded, for the same picture;
            None: where it has less than 24 GB of memory, or with ``sequential_offload``.
        sequential_offload: a transformer's blocks (Stable Diffusion 3, FLUX.1) are on the GPU only while they
            compute, for the same picture.
        allow_pickle: accept weights in pickle files, which can run code when they are read.
        feature_memory: where features of the inversion lie until ``feature_sharing`` reads them, see ``run``.
        observer: looks inside while the picture is edited, which costs no model evaluation and changes no bit
            of it; see ``EditObserver``.

    Returns:
        The edited picture, at the recipe's ``output_resolution``; if that is empty, as it was made: at its
        ``resolution``, or the model's own.

    Raises:
        PiebenchError: an argument is missing, unknown or does not fit.
    """
    recipe = edit_recipe(inversion, method, editor, model, config, settings, plugins)
    combination = require_usable(recipe)
    with tempfile.TemporaryDirectory() as folder:
        file = _file(image, Path(folder))
        sample = _sample(file, source_prompt, target_prompt, blended_word, instruction, mask)
        machine = MachineOptions(
            devices=device,
            deterministic=deterministic,
            offload_text_encoders=offload_text_encoders,
            sequential_offload=sequential_offload,
            allow_pickle=allow_pickle,
            feature_memory=parse_feature_limits(feature_memory),
        )
        result = edit_sample(recipe, sample, machine, observer=observer)
    for note in [*cautions([combination]), *result.notes]:
        warnings.warn(note, PiebenchWarning, stacklevel=2)
    return Image.fromarray(result.image)


def edit_sample(
    recipe: Recipe,
    sample: Sample,
    machine: MachineOptions,
    counter: EvaluationCounter | None = None,
    observer: EditObserver | None = None,
) -> EditResult:
    """Edit a sample by the only combination of a recipe; the model stays loaded for the next call.

    Args:
        recipe: from ``edit_recipe``.
        sample: the sample.
        machine: on what and how.
        counter: counts the evaluations of a model that the package loads; a new one if None. What it raises
            ends the edit.
        observer: see ``edit_batch``.

    Raises:
        PiebenchError: the combination does not go with the model or the sample, or cannot be loaded.
    """
    combination = require_usable(recipe)
    _require_needs(combination, sample)
    check_edits(recipe, [sample])
    if combination.loads_itself:
        return _by_what_it_loads(recipe, combination, machine, sample, observer)
    return _by_our_model(recipe, combination, machine, sample, counter, observer)


def reconstruct_sample(
    recipe: Recipe, sample: Sample, machine: MachineOptions, counter: EvaluationCounter | None = None
) -> Reconstruction:
    """Take the source branch of a recipe's only combination to its end; see ``edit_sample``.

    Args:
        recipe: from ``edit_recipe``, of an inversion and a method.
        sample: the sample.
        machine: on what and how.
        counter: see ``edit_sample``.

    Raises:
        PiebenchError: the combination does not go with the model, or the model cannot be loaded.
    """
    combination = require_usable(recipe)
    loaded = keep_loaded(combination, machine)
    require_compatible([combination], loaded.family)
    cached = _with_cache_of(loaded, sample.file, code_of(recipe.inversions, recipe.methods, recipe.editors))
    (found,) = reconstruct(cached, [sample], combination, counter=counter)
    return found


def require_usable(recipe: Recipe) -> Combination:
    """The only combination of a recipe, as far as it can be checked before anything is loaded.

    Raises:
        PiebenchError: it does not go with its model, or its settings do not fit.
    """
    (pair,) = recipe.pairs
    combination = recipe.combination(*pair)
    require_compatible([combination])
    require_fitting_editors([combination])
    return combination


def edit_recipe(
    inversion: str | None = None,
    method: str | None = None,
    editor: str | EditFunction | None = None,
    model: str | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
) -> Recipe:
    """The recipe of one combination, see ``edit``.

    Raises:
        PiebenchError: an argument is missing, unknown or does not fit.
    """
    load_plugins([str(file) for file in plugins])
    editors: list[str] | None = None
    inversions: list[str] | None = None
    methods: list[str] | None = None
    if editor is None:
        inversions, methods, model = [inversion or "direct"], [method or "p2p"], model or _MODEL
    else:
        if inversion is not None or method is not None:
            raise PiebenchError("editor: stands in the place of inversion and method; leave these two out")
        (name,) = editors = editor_names(editor if callable(editor) else [editor]) or []
        model = model or (None if config is not None or _has_a_model(EDITORS.get(name)) else _MODEL)
    if config is None and model is not None and is_embedded(model):
        config = recipe_of_embedded(model)
    run_config = RunConfig(
        None if config is None else Path(config),
        DEMO,
        {**({} if model is None else {"model": model}), **(settings or {})},
        inversions,
        methods,
        plugins=[Path(file) for file in plugins],
        editors=editors,
    )
    recipe, _ = run_config.build()
    return recipe


def _has_a_model(editor: Editor) -> bool:
    """Whether an editor says what it loads, or loads nothing."""
    return bool(editor.model or editor.recipe) or not editor.needs_model


def _by_our_model(
    recipe: Recipe,
    combination: Combination,
    machine: MachineOptions,
    sample: Sample,
    counter: EvaluationCounter | None,
    observer: EditObserver | None,
) -> EditResult:
    """Edit with a model that the package loads."""
    loaded = keep_loaded(combination, machine)
    require_compatible([combination], loaded.family)
    limits = worker_limits(machine.feature_memory, loaded.device, workers=1, on_device=1)
    cached = _with_cache_of(loaded, sample.file, code_of(recipe.inversions, recipe.methods, recipe.editors))
    (result,) = edit_batch(
        cached, [sample], combination, feature_limits=limits, counter=counter, observer=observer
    )
    return result


def keep_loaded(combination: Combination, machine: MachineOptions) -> DiffusionModel:
    """The model of a combination, which stays loaded until another is asked for.

    Raises:
        PiebenchError: it cannot be loaded.
    """
    if _kept:
        _kept.clear()
        release_memory()  # before more is loaded
    return _loaded(
        model_spec(combination),
        machine.devices,
        machine.deterministic,
        machine.offload_text_encoders,
        machine.sequential_offload,
        machine.allow_pickle,
    )


def _by_what_it_loads(
    recipe: Recipe,
    combination: Combination,
    machine: MachineOptions,
    sample: Sample,
    observer: EditObserver | None,
) -> EditResult:
    """Edit with an editor that loads what it needs itself."""
    check_editor_models(recipe, machine)
    spec = model_spec(combination)
    known = json.dumps([spec, _read_by_load(combination), code_of([], [], recipe.editors), repr(machine)])
    if known not in _kept:
        _kept.clear()
        _loaded.cache_clear()
        release_memory()  # before more is loaded
        runner = ModelRunner(WorkerSpec(machine, machine.devices, None, 1, None, ""), recipe)
        runner.load(spec)
        _kept[known] = runner
    (result,) = _kept[known].edit(combination, [sample], observer)
    return result


def _read_by_load(combination: Combination) -> dict[str, Any]:
    """The settings besides those of the model with which an editor's networks are loaded."""
    flat, names = combination.flat(), EDITORS.get(combination.method).load_reads
    return flat if names is None else {name: flat[f"editor.{name}"] for name in names}


def _require_needs(combination: Combination, sample: Sample) -> None:
    """Refuse an editor that needs an argument which is not given.

    Raises:
        PiebenchError: names it.
    """
    editor = editor_of(combination)
    if needs_instruction(editor, combination.common) and not sample.instruction.strip():
        raise PiebenchError(
            f"instruction is missing: {combination.method} is prompted by it; or edit by the target prompt "
            'with settings={"prompt_from": "target"}'
        )
    if editor.masks == "benchmark" and not sample.mask_rle:
        raise PiebenchError(f"mask is missing, or marks nothing: {combination.method} edits what it marks")


def _file(image: str | Path | Image.Image | NDArray[np.uint8], folder: Path) -> Path:
    """The file of a picture; one that is not in a file is saved to a folder."""
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise PiebenchError(
                f"image: is an array {list(image.shape)} of {image.dtype}; give [height, width, 3] of uint8"
            )
        image = Image.fromarray(image)
    file = folder / f"{_ID}.png"
    ImageOps.exif_transpose(image).save(file)
    return file


def _sample(
    file: Path,
    source_prompt: str,
    target_prompt: str,
    blended_word: str,
    instruction: str,
    mask: str | Path | NDArray[np.bool_] | None,
) -> Sample:
    """A picture as a sample of a benchmark."""
    if problem := blended_word_problem(blended_word):
        raise PiebenchError(f"blended_word={blended_word!r} {problem}")
    marked = () if mask is None else _run_lengths(mask, image_size(file))
    return Sample(_ID, file.name, file, source_prompt, target_prompt, instruction, "0", blended_word, marked)


def _run_lengths(mask: str | Path | NDArray[np.bool_], size: Size) -> tuple[int, ...]:
    """The run-length list of a mask.

    Raises:
        PiebenchError: it is no mask of a picture of that width and height.
    """
    if isinstance(mask, str | Path):
        return mask_image_to_rle(Path(mask), size)
    if mask.dtype != np.bool_ or mask.shape != size[::-1]:
        raise PiebenchError(
            f"mask: is an array {list(mask.shape)} of {mask.dtype}; give [{size[1]}, {size[0]}] of bool, the "
            "picture's height and width"
        )
    return tuple(encode_rle(mask))


def _with_cache_of(model: DiffusionModel, picture: Path, code: dict[str, str]) -> DiffusionModel:
    """The model with the cache of the same picture and code, or an empty one."""
    content = picture.read_bytes() if picture.is_file() else b""
    identity = {"picture": hashlib.sha256(content).hexdigest(), "code": code}
    if model.cache is None or model.cache.identity != identity:
        model.cache = Cache(identity)
    return model


@lru_cache(maxsize=1)
def _loaded(
    model: ModelSpec,
    device: str,
    deterministic: bool | None,
    offload_text_encoders: bool | None,
    sequential_offload: bool,
    allow_pickle: bool = False,
) -> DiffusionModel:
    place = resolve_device(device)
    return load_model(
        model.name,
        model.revision,
        place,
        model.precision,
        allow_pickle=allow_pickle,
        deterministic=deterministic,
        family=model.family,
        offload_text_encoders=offload_text_encoders,
        clip_length=model.clip_length,
        t5_length=model.t5_length,
        weights=model.weights,
        sequential_offload=sequential_offload,
    )

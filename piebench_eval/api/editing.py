"""Edit one picture from Python."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from piebench_eval.data.prompts import blended_word_problem
from piebench_eval.data.sample import Sample
from piebench_eval.demo.embedded import DEMO, is_embedded
from piebench_eval.diffusion.feature_limits import parse_feature_limits
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.models.cache import Cache
from piebench_eval.models.device import resolve_device
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.builtin import recipe_of_embedded
from piebench_eval.recipes.compatibility import cautions, require_compatible
from piebench_eval.recipes.plugins import code_of
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.runs.batch_editing import edit_batch
from piebench_eval.runs.feature_places import worker_limits
from piebench_eval.runs.jobs import check_edits, model_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.runs.jobs import ModelSpec

_ID = "picture"


def edit(
    image: str | Path | Image.Image | NDArray[np.uint8],
    source_prompt: str,
    target_prompt: str,
    *,
    inversion: str = "direct",
    method: str = "p2p",
    blended_word: str = "",
    model: str = "CompVis/stable-diffusion-v1-4",
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    deterministic: bool | None = None,
    offload_text_encoders: bool | None = None,
    sequential_offload: bool = False,
    feature_memory: str | None = None,
) -> Image.Image:
    """Edit one picture.

    The model stays loaded for the next call, and the inversion of the last picture is kept: trying other
    target prompts, methods and settings on it costs less.

    Args:
        image: a file, a PIL picture, or an array ``[height, width, 3]`` of grey levels 0..255. The central
            square is edited, at the model's resolution, unless ``settings`` say otherwise.
        source_prompt: describes the picture.
        target_prompt: describes the edit.
        inversion: name of the inversion, see ``piebench methods``.
        method: name of the editing method.
        blended_word: words of the source and of the target prompt that local blend limits the edit to,
            separated by a blank, or phrases separated by "|"; empty edits the whole picture.
        model: diffusers directory or hub id of a model of a family in ``piebench methods``, or ``demo`` or
            ``demo-flow``.
        config: a recipe file, or ``paper`` or ``table1``; None for the defaults.
        settings: overrides of the recipe's fields: ``{"steps": 20, "method.cross_replace_steps": 0.8}``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        deterministic: the same bits for any number of CPU threads, in fp32; None: for embedded models alone.
        offload_text_encoders: text encoders leave the GPU once prompts are embedded, for the same picture;
            None: where it has less than 24 GB of memory, or with ``sequential_offload``.
        sequential_offload: a transformer's blocks (Stable Diffusion 3, FLUX.1) are on the GPU only while they
            compute, for the same picture.
        feature_memory: where features of the inversion lie until ``feature_sharing`` reads them, see ``run``.

    Returns:
        The edited picture, at the recipe's ``output_resolution``; if that is empty, as it was made: at its
        ``resolution``, or the model's own.

    Raises:
        PiebenchError: an argument is missing, unknown or does not fit.
    """
    if config is None and is_embedded(model):
        config = recipe_of_embedded(model)
    run_config = RunConfig(
        None if config is None else Path(config),
        DEMO,
        {"model": model, **(settings or {})},
        [inversion],
        [method],
    )
    recipe, _ = run_config.build()
    combination = recipe.combination(inversion, method)
    require_compatible([combination])
    with tempfile.TemporaryDirectory() as folder:
        sample = _sample(_file(image, Path(folder)), source_prompt, target_prompt, blended_word)
        check_edits(recipe, [sample])
        code = code_of([inversion], [method])
        spec = model_spec(combination)
        loaded = _loaded(spec, device, deterministic, offload_text_encoders, sequential_offload)
        require_compatible([combination], loaded.family)
        limits = worker_limits(parse_feature_limits(feature_memory), loaded.device, workers=1, on_device=1)
        cached = _with_cache_of(loaded, sample.file, code)
        (result,) = edit_batch(cached, [sample], combination, feature_limits=limits)
    for note in [*cautions([combination]), *result.notes]:
        warnings.warn(note, PiebenchWarning, stacklevel=2)
    return Image.fromarray(result.image)


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


def _sample(file: Path, source_prompt: str, target_prompt: str, blended_word: str) -> Sample:
    """A picture as a sample of a benchmark; its mask, which no method reads, is empty."""
    if problem := blended_word_problem(blended_word):
        raise PiebenchError(f"blended_word={blended_word!r} {problem}")
    return Sample(_ID, file.name, file, source_prompt, target_prompt, "", "0", blended_word, ())


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
) -> DiffusionModel:
    place = resolve_device(device)
    return load_model(
        model.name,
        model.revision,
        place,
        model.precision,
        deterministic=deterministic,
        family=model.family,
        offload_text_encoders=offload_text_encoders,
        clip_length=model.clip_length,
        t5_length=model.t5_length,
        weights=model.weights,
        sequential_offload=sequential_offload,
    )

"""Editing one picture from Python."""

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
from piebench_eval.demo.embedded import DEMO
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model, resolve_device
from piebench_eval.recipes.plugins import code_of
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.recipes.shipped import DEMO_RECIPE
from piebench_eval.runs.edit_batch import edit_batch
from piebench_eval.runs.jobs import check_edits, model_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.runs.jobs import Model

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
) -> Image.Image:
    """Edit one picture.

    The model stays loaded for the next call, and so does what was inverted of the last picture: other target
    prompts, methods and settings are tried on it at a part of the cost.

    Args:
        image: a file, a PIL picture, or an array ``[height, width, 3]`` of grey levels 0..255. The central
            square is edited, at the model's resolution.
        source_prompt: what is to be seen.
        target_prompt: what should be seen.
        inversion: name of the inversion, see ``piebench methods``.
        method: name of the editing method.
        blended_word: words of the source and of the target prompt that local blend keeps the edit to, with a
            blank between them, or "|" between phrases; empty edits the whole picture.
        model: diffusers directory or hub id of a Stable Diffusion 1.x model, or ``demo``.
        config: a recipe's file, or ``paper`` or ``table1``; the settings' defaults if None.
        settings: fields of the recipe: ``{"steps": 20, "method.cross_replace_steps": 0.8}``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns:
        The edited picture, at the model's resolution.

    Raises:
        PiebenchError: something is missing, unknown or does not fit.
    """
    if config is None and model == DEMO:
        config = DEMO_RECIPE
    request = RunConfig(
        None if config is None else Path(config),
        DEMO,
        {"model": model, **(settings or {})},
        [inversion],
        [method],
    )
    recipe, _ = request.build()
    combination = recipe.combination(inversion, method)
    with tempfile.TemporaryDirectory() as folder:
        sample = _sample(_file(image, Path(folder)), source_prompt, target_prompt, blended_word)
        check_edits(recipe, [sample])
        code = code_of([inversion], [method])
        (result,) = edit_batch(_model_for(combination, device, sample.file, code), [sample], combination)
    for note in result.notes:
        warnings.warn(note, PiebenchWarning, stacklevel=2)
    return Image.fromarray(result.image)


def _file(image: str | Path | Image.Image | NDArray[np.uint8], folder: Path) -> Path:
    """Where a picture is; one that is not in a file is put into a folder."""
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
    """A picture as the benchmark would have it; its mask, which no method reads, is empty."""
    if problem := blended_word_problem(blended_word):
        raise PiebenchError(f"blended_word={blended_word!r} {problem}")
    return Sample(_ID, file.name, file, source_prompt, target_prompt, "", "0", blended_word, ())


def _model_for(combination: Combination, device: str, picture: Path, code: dict[str, str]) -> DiffusionModel:
    """The model, with what it remembers of the same picture by the same code and nothing of any other."""
    model = _loaded(model_of(combination), device)
    content = picture.read_bytes() if picture.is_file() else b""
    identity = {"picture": hashlib.sha256(content).hexdigest(), "code": code}
    if model.cache is None or model.cache.identity != identity:
        model.cache = Cache(identity)
    return model


@lru_cache(maxsize=1)
def _loaded(model: Model, device: str) -> DiffusionModel:
    return load_model(model.name, model.revision, resolve_device(device), model.precision)

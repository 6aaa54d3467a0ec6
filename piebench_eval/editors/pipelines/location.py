"""What can be said of a pipeline's folder before anything heavy is imported or read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import locate
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_json_object
from piebench_eval.models.hub import looks_like_hub_id
from piebench_eval.models.location import add_file, model_folder
from piebench_eval.models.weight_files import read_shapes
from piebench_eval.models.weights import SUFFIX, require_safetensors

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

INDEX = "model_index.json"
"""The file that names a pipeline's class, and the library and class of each of its parts."""


def check_pipeline_location(
    model: str,
    pipelines: Sequence[str],
    allow_pickle: bool = False,
    revision: str | None = None,
    without: Collection[str] = (),
) -> None:
    """Refuse what cannot be a folder or a hub id of a pipeline, before any weight is read.

    A hub id is looked up when the pipeline is loaded; what the local cache has of it is checked here.

    Args:
        model: a diffusers folder, a hub id, or ``demo``.
        pipelines: classes of diffusers, one of which the folder has to be; any if empty.
        allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.
        revision: branch, tag or commit on the hub.
        without: parts that are not loaded, and need not be there.

    Raises:
        PiebenchError: there is no such folder; or it lacks parts, is a pipeline of another class, has weights
            in pickle files without ``allow_pickle``, or files that were cut off.
    """
    folder = pipeline_folder(model, revision)
    if folder is None:
        if not looks_like_hub_id(model):
            raise PiebenchError(
                f"--model {model}: no such directory, and not a hub id; give a diffusers directory with a "
                f"{INDEX}, or an id such as owner/name"
            )
        return
    if not (folder / INDEX).is_file():
        raise PiebenchError(
            f"--model {model}: has no {INDEX}; give the directory of a whole pipeline, as diffusers' "
            "save_pretrained writes it"
        )
    found = class_of_pipeline(folder)
    if pipelines and found not in pipelines:
        raise PiebenchError(
            f"--model {model}: {INDEX} says {found}, and this editor takes {' or '.join(pipelines)}; give "
            "such a model, or another --editor"
        )
    for part in parts_of_pipeline(folder):
        if part not in without:
            _check_part(folder / part, model, allow_pickle)


def pipeline_folder(model: str, revision: str | None = None) -> Path | None:
    """Where a pipeline's files are on this machine; None for a hub id of which the cache has nothing."""
    return model_folder(model, revision, (INDEX,))


def parts_of_pipeline(folder: Path) -> dict[str, tuple[str, str]]:
    """Library and class of each part that a pipeline has, by its folder.

    Raises:
        PiebenchError: the index cannot be read.
    """
    return {
        name: (value[0], value[1])
        for name, value in _read_index(folder).items()
        if isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)
    }


def class_of_pipeline(folder: Path) -> str:
    """The class of diffusers that a pipeline's folder names; empty if it names none.

    Raises:
        PiebenchError: the index cannot be read.
    """
    return str(_read_index(folder).get("_class_name", ""))


def pipeline_fingerprint(model: str, revision: str | None = None) -> str | None:
    """What tells one pipeline from another: SHA-256 over a directory's files, or a hub id's commit.

    None for a hub id of which nothing is on this machine.
    """
    folder = pipeline_folder(model, revision)
    if folder is None or not Path(locate("model", model)).is_dir():
        return folder.name if folder is not None else None
    digest = hashlib.sha256()
    parts = [folder / part for part in sorted(parts_of_pipeline(folder))]
    files = [folder / INDEX, *(file for part in parts for file in sorted(part.rglob("*")) if file.is_file())]
    for file in files:
        add_file(digest, folder, file)
    return digest.hexdigest()


def _check_part(folder: Path, model: str, allow_pickle: bool) -> None:
    """Check that a part is there, and the weights of one that has any.

    Raises:
        PiebenchError: it is missing, or its weights are pickles, or cut off.
    """
    part = folder.name
    if not folder.is_dir():
        raise PiebenchError(
            f"--model {model}: {INDEX} names {part}, and there is no {part}/; copy it from where the model "
            "comes from"
        )
    if (folder / "config.json").is_file():  # tokenizers, schedulers and processors have files of other names
        require_safetensors("--model", model, folder, allow_pickle, f"{part}/")
        read_shapes(sorted(folder.glob(f"*{SUFFIX}")))


def _read_index(folder: Path) -> dict[str, Any]:
    return read_json_object(folder / INDEX, set(), "restore the file")

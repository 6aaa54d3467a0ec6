"""Editors that load networks of their own: which the studio offers, and with which model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.demo.embedded import is_embedded
from piebench_eval.editors import EDITORS
from piebench_eval.editors.pipelines.location import INDEX, class_of_pipeline, pipeline_folder
from piebench_eval.errors import PiebenchError
from piebench_eval.models.hub import looks_like_hub_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from piebench_eval.editors.base import Editor


def models_of_editors(model: str, asked: Mapping[str, str]) -> dict[str, str | None]:
    """The model of each editor that loads what it needs itself, by the editor's name.

    It is the one that is asked for; or else the studio's, where that is a pipeline that the editor takes, and
    is on this machine; or else the editor's published one. An editor without any, such as ``diffusers``, is
    not offered.

    Args:
        model: the studio's: diffusers directory, hub id, or an embedded model's name.
        asked: model by editor.

    Returns:
        None for an editor that loads no model.

    Raises:
        PiebenchError: an editor is unknown, or loads no model of its own.
    """
    for name in asked:
        if EDITORS.get(name).edit is None:
            raise PiebenchError(
                f"--editor-model {name}={asked[name]}: {name} edits with the model of --model; leave it out"
            )
    own_names = {name: as_found_from_anywhere(own) for name, own in asked.items()}
    found = {name: own_names.get(name) or _model(EDITORS.get(name), model) for name in _names()}
    return {name: own for name, own in found.items() if own or not EDITORS.get(name).needs_model}


def as_found_from_anywhere(model: str) -> str:
    """A model's name; a folder's whole path, which holds in other folders too."""
    return str(Path(model).resolve()) if not is_embedded(model) and Path(model).is_dir() else model


def require_on_this_machine(name: str, model: str | None) -> None:
    """Refuse an editor whose pipeline would have to be downloaded, which takes gigabytes, by a click.

    Args:
        name: the editor.
        model: its model.

    Raises:
        PiebenchError: nothing of it is here; says how it is brought here.
    """
    is_pipeline = model is not None and EDITORS.get(name).pipelines is not None
    if model is None or not is_pipeline or pipeline_folder(model) is not None or not looks_like_hub_id(model):
        return
    raise PiebenchError(
        f"{name}: its model {model} is not on this machine, and the studio downloads none; run 'hf download "
        f"{model}' and choose it again, or start the studio with --editor-model {name}=FOLDER"
    )


def _names() -> list[str]:
    return [name for name in EDITORS.names() if EDITORS.get(name).edit is not None]


def _model(editor: Editor, model: str) -> str | None:
    if not editor.needs_model:
        return None
    if editor.pipelines is None:  # a plugin's, whose loader knows what it takes
        return editor.model or model
    folder = pipeline_folder(model)
    here = folder is not None and (folder / INDEX).is_file()
    if folder is not None and here and class_of_pipeline(folder) in editor.pipelines:
        return model
    return editor.model

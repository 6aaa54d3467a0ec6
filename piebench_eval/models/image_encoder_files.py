"""What can be said of an image encoder's folder or hub id before anything heavy is imported or read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from piebench_eval.errors import PiebenchError
from piebench_eval.models.hub import looks_like_hub_id
from piebench_eval.models.location import add_file, model_folder
from piebench_eval.models.weights import SUFFIX, require_safetensors

OPTION = "inversion.image_encoder"
"""The setting that names an image encoder, for messages."""

WANTED = "a directory or hub id of a CLIP with an image encoder"

_CONFIG = "config.json"


def check_image_encoder(name: str, allow_pickle: bool = False) -> None:
    """Refuse what cannot be the directory or hub id of an image encoder, before anything is loaded.

    Raises:
        PiebenchError: it is neither, or its weights are in pickle files.
    """
    if (folder := Path(name)).is_dir():
        require_safetensors(OPTION, name, folder, allow_pickle)
    elif not looks_like_hub_id(name):
        raise PiebenchError(f"{OPTION} {name}: no such directory, and not a hub id; give {WANTED}")


def image_encoder_fingerprint(name: str) -> str | None:
    """What tells one image encoder from another: SHA-256 over its files, or a hub id's commit.

    A hub id has been loaded, so its files are in the local cache; None if they are not.
    """
    folder = model_folder(name, None, (_CONFIG,))
    if folder is None or not Path(name).is_dir():
        return folder.name if folder is not None else None
    digest = hashlib.sha256()
    for file in [folder / _CONFIG, *sorted(folder.glob(f"*{SUFFIX}"))]:
        add_file(digest, folder, file)
    return digest.hexdigest()

"""A model's files, changed as users' are, and what is said of them before any weight is read."""

import json
import shutil
from pathlib import Path

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.models.location import check_model_location
from piebench_eval.models.weight_files import STEMS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def change(file: Path, **fields: object) -> None:
    """Set fields of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def weights(model: Path, part: str) -> Path:
    """The file of a part's weights."""
    return model / part / f"{STEMS[part]}.safetensors"


def refused(model: object) -> str:
    """Why a model, a folder or a hub id, is refused."""
    with pytest.raises(PiebenchError) as caught:
        check_model_location(str(model))
    return str(caught.value)


def in_hubs_cache(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a folder the hub's local cache, which has a model in it; the model's id."""
    cached = folder / "models--someone--tiny"
    shutil.copytree(model, cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return "someone/tiny"

"""What can be said of a model and a device before anything heavy is imported."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from piebench_eval.demo.embedded import locate
from piebench_eval.errors import PiebenchError
from piebench_eval.weights import require_safetensors

WEIGHT_COMPONENTS = ("unet", "vae", "text_encoder")
_SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
_CONFIGS = (
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "tokenizer/tokenizer_config.json",
    _SCHEDULER_CONFIG,
)


def check_model_location(model: str, allow_pickle: bool = False) -> None:
    """Refuse a model that cannot be a Stable Diffusion 1.x directory or hub id.

    A hub id ("owner/name") passes here and is looked up when the model is loaded; ``demo`` is the embedded
    model.

    Raises:
        PiebenchError: a path that does not exist, a directory with parts missing, weights in pickle files
            without ``allow_pickle``, or a model of another family.
    """
    folder = Path(locate("model", model))
    if not folder.is_dir():
        if not _looks_like_hub_id(model):
            raise PiebenchError(
                f"--model {model}: no such directory, and not a hub id; give a diffusers directory of "
                "Stable Diffusion 1.x or an id such as CompVis/stable-diffusion-v1-4"
            )
        return
    missing = [name for name in _CONFIGS if not (folder / name).is_file()]
    if missing:
        raise PiebenchError(
            f"--model {model}: not a complete diffusers directory, {', '.join(missing)} missing; "
            "convert the checkpoint with diffusers' convert_original_stable_diffusion_to_diffusers.py"
        )
    for component in WEIGHT_COMPONENTS:
        require_safetensors("--model", model, folder / component, allow_pickle, f"{component}/")
    configs = {name: _read_config(folder / name) for name in _CONFIGS}
    check_scheduler_config(configs[_SCHEDULER_CONFIG], model)


def check_scheduler_config(config: dict[str, object], model: str) -> None:
    """Refuse a model that does not predict noise: the inversions here assume it.

    Raises:
        PiebenchError: the scheduler names another prediction type than epsilon.
    """
    prediction = config.get("prediction_type", "epsilon")
    if prediction != "epsilon":
        raise PiebenchError(
            f"--model {model}: scheduler_config.json says prediction_type {prediction!r}; "
            "piebench edits with Stable Diffusion 1.x, which predicts epsilon"
        )


def _read_config(file: Path) -> dict[str, object]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PiebenchError(f"{file}: cannot be read ({error}); restore the file") from None
    if not isinstance(config, dict):
        raise PiebenchError(f"{file}: must hold a JSON object; restore the file")
    return config


def check_device_name(device: str) -> None:
    """Refuse a device name that no machine could have.

    Raises:
        PiebenchError: the name is not ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise PiebenchError(f"--device {device}: use auto, cpu, cuda, cuda:N or mps")


def model_fingerprint(model: str, revision: str | None = None) -> str | None:
    """What tells one set of weights from another: SHA-256 over a directory's files, or a hub id's commit.

    A hub id has been loaded, so its files are in the local cache; None if they are not.
    """
    folder = Path(locate("model", model))
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(model, "unet/config.json", revision=revision)
        # .../snapshots/<commit>/unet/config.json
        return Path(cached).parts[-3] if isinstance(cached, str) else None
    digest = hashlib.sha256()
    for component in (*WEIGHT_COMPONENTS, "tokenizer", "scheduler"):
        for file in sorted((folder / component).iterdir()):
            if file.is_file():
                digest.update(file.relative_to(folder).as_posix().encode())
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _looks_like_hub_id(model: str) -> bool:
    parts = model.split("/")
    return len(parts) == 2 and all(part and not part.startswith((".", "~")) for part in parts)

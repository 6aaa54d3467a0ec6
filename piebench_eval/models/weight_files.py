"""Safetensors files of a model's part: which ones are read, and what their headers say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.models.weights import SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

STEMS = {
    "unet": "diffusion_pytorch_model",
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "text_encoder_3": "model",
}
"""By part: how diffusers and transformers name its file of weights."""

VARIANTS = (None, "fp16")
"""What a name may say besides; weights without a variant are taken where both are there."""

_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True)
class WeightFiles:
    """What a part is read from.

    Attributes:
        variant: ``fp16`` for ``*.fp16.safetensors``, None for the plain names.
        files: one, or the shards that an index names.
    """

    variant: str | None
    files: list[Path]


def find_weight_files(folder: Path, part: str) -> WeightFiles | None:
    """The safetensors files that a part is read from; None if none has a name that the loaders know.

    Raises:
        PiebenchError: an index that cannot be read, or names files that are not there.
    """
    stem = STEMS[part]
    for variant in VARIANTS:
        middle = f".{variant}" if variant else ""
        whole = folder / f"{stem}{middle}{SUFFIX}"
        if whole.is_file():
            return WeightFiles(variant, [whole])
        index = folder / f"{stem}{SUFFIX}.index{middle}.json"
        if index.is_file():
            return WeightFiles(variant, _shards(index))
    return None


def read_shapes(files: list[Path]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, from the headers alone.

    Raises:
        PiebenchError: a file is no safetensors file, or shorter than its header says.
    """
    return {name: shape for file in files for name, shape in _read_header(file).items()}


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PiebenchError(f"{index}: cannot be read ({error!r}); restore the file") from None
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise PiebenchError(f"{index}: names {', '.join(missing)}, missing beside it; restore the files")
    return [index.parent / name for name in names]


def _read_header(file: Path) -> dict[str, tuple[int, ...]]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        content = stream.read(length) if length <= min(size, _LONGEST_HEADER) else b""
    try:
        tensors = json.loads(content)
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        shapes = {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise PiebenchError(
            f"{file}: is no safetensors file (an interrupted download, or a Git LFS pointer?); "
            "download it again"
        ) from None
    if size < 8 + length + end:
        raise PiebenchError(
            f"{file}: has {size} bytes of {8 + length + end}: its download was cut off; download it again"
        )
    return shapes

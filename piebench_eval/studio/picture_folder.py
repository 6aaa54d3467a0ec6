"""An uploaded picture as a benchmark of one sample, which ``piebench run`` can edit as well."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.images import encode_image, image_size
from piebench_eval.data.masks import decode_rle, encode_rle
from piebench_eval.data.pie_bench import IMAGES_FOLDER, MAPPING_FILE
from piebench_eval.data.sample import Sample
from piebench_eval.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.data.masks import BoolMask

OWN_ID, _OWN_TYPE = "picture", "0"
"""Of a picture that is no sample of a benchmark."""


def picture_key(picture: NDArray[np.uint8]) -> str:
    """What tells one picture ``[height, width, 3]`` from another, by its pixels."""
    return hashlib.sha256(str(picture.shape).encode() + picture.tobytes()).hexdigest()[:16]


def own_file(folder: Path, picture: NDArray[np.uint8]) -> Path:
    """Keep an uploaded picture ``[height, width, 3]`` as a file; equal ones share it.

    Raises:
        PiebenchError: the folder cannot be written to.
    """
    file = folder / f"{picture_key(picture)}.png"
    if not file.is_file():
        write_whole(file, encode_image(picture))
    return file


def write_picture(
    folder: Path,
    picture: NDArray[np.uint8],
    source_prompt: str,
    target_prompt: str,
    blended_word: str = "",
    instruction: str = "",
    mask: BoolMask | None = None,
    sample_id: str = OWN_ID,
    type_id: str = _OWN_TYPE,
) -> tuple[Path, Sample]:
    """Write a picture as a benchmark of one sample; equal ones share a folder.

    Args:
        folder: where such benchmarks are kept.
        picture: ``[height, width, 3]``.
        source_prompt: describes the picture.
        target_prompt: describes the edit.
        blended_word: see ``Sample``.
        instruction: see ``Sample``.
        mask: where to edit ``[height, width]``; nowhere if None.
        sample_id: the id.
        type_id: the editing type.

    Returns:
        The benchmark's folder, and its sample.

    Raises:
        PiebenchError: the folder cannot be written to.
    """
    marked = [] if mask is None else encode_rle(mask)
    annotation: dict[str, Any] = {
        "image_path": f"{sample_id}.png",
        "original_prompt": source_prompt,
        "editing_prompt": target_prompt,
        "editing_instruction": instruction,
        "editing_type_id": type_id,
        "blended_word": blended_word,
        "mask": marked,
    }
    mapping = json.dumps({sample_id: annotation}, indent=1, ensure_ascii=False).encode()
    own = folder / hashlib.sha256(picture_key(picture).encode() + mapping).hexdigest()[:16]
    file = own / IMAGES_FOLDER / f"{sample_id}.png"
    if not (own / MAPPING_FILE).is_file():
        write_whole(file, encode_image(picture))
        write_whole(own / MAPPING_FILE, mapping)
    sample = Sample(
        sample_id,
        file.name,
        file,
        source_prompt,
        target_prompt,
        instruction,
        type_id,
        blended_word,
        tuple(marked),
    )
    return own, sample


def write_mask(folder: Path, sample: Sample) -> Path:
    """Write a sample's mask as a black and white picture; equal ones share a file.

    Raises:
        PiebenchError: the folder cannot be written to.
    """
    width, height = image_size(sample.file)
    mask = decode_rle(sample.mask_rle, height, width)
    return own_file(folder, np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8) * 255)

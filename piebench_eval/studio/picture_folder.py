"""An uploaded picture as a benchmark of one sample, which ``piebench run`` can edit as well."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import encode_image
from piebench_eval.data.masks import encode_rle
from piebench_eval.data.pie_bench import IMAGES_FOLDER, MAPPING_FILE
from piebench_eval.data.sample import Sample
from piebench_eval.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.masks import BoolMask

_ID = "picture"


def own_file(folder: Path, picture: NDArray[np.uint8]) -> Path:
    """Keep an uploaded picture ``[height, width, 3]`` as a file; equal ones share it.

    Raises:
        PiebenchError: the folder cannot be written to.
    """
    content = encode_image(picture)
    file = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.png"
    if not file.is_file():
        write_whole(file, content)
    return file


def write_picture(
    folder: Path,
    picture: NDArray[np.uint8],
    source_prompt: str,
    target_prompt: str,
    blended_word: str = "",
    instruction: str = "",
    mask: BoolMask | None = None,
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

    Returns:
        The benchmark's folder, and its sample.

    Raises:
        PiebenchError: the folder cannot be written to.
    """
    content, marked = encode_image(picture), [] if mask is None else encode_rle(mask)
    annotation: dict[str, Any] = {
        "image_path": f"{_ID}.png",
        "original_prompt": source_prompt,
        "editing_prompt": target_prompt,
        "editing_instruction": instruction,
        "editing_type_id": "0",
        "blended_word": blended_word,
        "mask": marked,
    }
    mapping = json.dumps({_ID: annotation}, indent=1, ensure_ascii=False).encode()
    own = folder / hashlib.sha256(content + mapping).hexdigest()[:16]
    file = own / IMAGES_FOLDER / f"{_ID}.png"
    if not (own / MAPPING_FILE).is_file():
        write_whole(file, content)
        write_whole(own / MAPPING_FILE, mapping)
    sample = Sample(
        _ID, file.name, file, source_prompt, target_prompt, instruction, "0", blended_word, tuple(marked)
    )
    return own, sample

"""Convert PIE-Bench++ (Huang et al., 2024) from parquet files to the layout of PIE-Bench."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import ImageError, decode_image
from piebench_eval.data.masks import rle_problem
from piebench_eval.data.messages import printable
from piebench_eval.data.pie_bench import IMAGES_FOLDER, MAPPING_FILE
from piebench_eval.data.sample import id_problem
from piebench_eval.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

CONFIGS = (
    "0_random_140",
    "1_change_object_80",
    "2_add_object_80",
    "3_delete_object_80",
    "4_change_attribute_content_40",
    "5_change_attribute_pose_40",
    "6_change_attribute_color_40",
    "7_change_attribute_material_40",
    "8_change_background_80",
    "9_change_style_80",
)
"""The dataset's configs, named like the official folders; the leading digit is the editing type."""

NOTES = (
    "pictures are the dataset's bytes, unchanged",
    "prompts are unchanged; the editing type is the leading number of the dataset's part",
    "blended_word is the first of blended_words whose two sides have one word at most; where there is none, "
    "the last word of each side of the first",
    "editing_instruction is empty: the dataset has none",
    "edit_action, aspect_mapping and blended_words are kept as they are",
)
"""What the conversion does; written to ``SOURCE.json``."""

_COPIED_COLUMNS = ("edit_action", "aspect_mapping")
"""Columns that are copied unread; they may be empty."""

_TEXT_COLUMNS = ("id", "source_prompt", "target_prompt", *_COPIED_COLUMNS, "blended_words", "mask")
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}
_BATCH_ROWS = 16
_NUMBER = re.compile("[0-9]{1,15}")
_REMEDY = "choose another revision of the dataset, or tell its authors"


def write_official_folder(
    parquet: Mapping[str, Sequence[Path]], folder: Path, progress: Callable[[int, int], None]
) -> None:
    """Convert the dataset's files to ``mapping_file.json`` and ``annotation_images/``.

    Args:
        parquet: the files of each config.
        folder: the output folder; incomplete until the call returns.
        progress: called with the files done and their total number.

    Raises:
        DataError: every problem of the files, with file, row, id, field and remedy.
        OSError: the folder cannot be written to.
    """
    annotations: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    seen: set[str] = set()
    files = [(config, file) for config in CONFIGS for file in parquet[config]]
    for done, (config, file) in enumerate(files, start=1):
        (folder / IMAGES_FOLDER / config).mkdir(parents=True, exist_ok=True)
        try:
            for number, row in enumerate(_rows(file)):
                sample_id = row["id"]
                if found := _row_problems(row, seen):
                    where = f"{file}: row {number}: id {printable(str(sample_id))}"
                    problems += [f"{where}: {problem}; {_REMEDY}" for problem in found]
                else:
                    image_path = f"{config}/{sample_id}{_suffix(row['image']['bytes'])}"
                    (folder / IMAGES_FOLDER / image_path).write_bytes(row["image"]["bytes"])
                    annotations[sample_id] = _annotation(config, image_path, row)
                seen.add(str(sample_id))
        except _FileError as error:
            problems.append(f"{file}: {error}; {_REMEDY}")
        progress(done, len(files))
    if problems:
        raise DataError(problems)
    (folder / MAPPING_FILE).write_text(json.dumps(annotations, indent=1), encoding="utf-8")


class _FileError(Exception):
    """A problem of a whole parquet file."""


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    wanted = ("image", *_TEXT_COLUMNS)
    try:
        with ParquetFile(file) as opened:
            if missing := sorted(set(wanted) - set(opened.schema_arrow.names)):
                raise _FileError(f"column {', '.join(missing)} is missing")
            for batch in opened.iter_batches(_BATCH_ROWS, columns=list(wanted)):
                yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        raise _FileError(f"cannot be read as parquet ({printable(str(error))})") from None


def _row_problems(row: dict[str, Any], seen: set[str]) -> list[str]:
    problems = ['field "id" has occurred before; an id names one sample'] if str(row["id"]) in seen else []
    for column in _TEXT_COLUMNS:
        value = row[column]
        if value is None and column in _COPIED_COLUMNS:
            continue
        if not isinstance(value, str):
            problems.append(f'field "{column}" must be text, not {printable(repr(value))}')
        elif problem := _TEXT_CHECKS.get(column, _no_problem)(value):
            problems.append(f'field "{column}" {problem}')
    if problem := _image_problem(row["image"]):
        problems.append(f'field "image": {problem}')
    return problems


def _no_problem(_text: str) -> str | None:
    return None


def _image_problem(image: Any) -> str | None:
    content = image.get("bytes") if isinstance(image, dict) else None
    if not isinstance(content, bytes):
        return "holds no bytes"
    if _suffix(content) is None:
        return "is neither a JPEG nor a PNG"
    try:
        decode_image(io.BytesIO(content))
    except ImageError as error:
        return str(error)
    return None


def _suffix(content: bytes) -> str | None:
    return next((suffix for start, suffix in _SUFFIXES.items() if content.startswith(start)), None)


def _mask_problem(text: str) -> str | None:
    if not all(_NUMBER.fullmatch(number) for number in text.split()):
        return f"must be whole numbers with blanks between them, not {printable(repr(text))}"
    return rle_problem(_mask(text))


def _mask(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def _blended_words_problem(text: str) -> str | None:
    try:
        pairs = json.loads(text)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, list) or not all(isinstance(pair, str) for pair in pairs):
        return f'must be a JSON list of texts "source,target", not {printable(repr(text))}'
    return None


_TEXT_CHECKS: dict[str, Callable[[str], str | None]] = {
    "id": id_problem,
    "mask": _mask_problem,
    "blended_words": _blended_words_problem,
}


def _annotation(config: str, image_path: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "image_path": image_path,
        "original_prompt": row["source_prompt"],
        "editing_prompt": row["target_prompt"],
        "editing_instruction": "",
        "editing_type_id": config.partition("_")[0],
        "blended_word": blended_word(json.loads(row["blended_words"])),
        "mask": _mask(row["mask"]),
        **{name: row[name] for name in (*_COPIED_COLUMNS, "blended_words")},
    }


def blended_word(pairs: Sequence[str]) -> str:
    """Convert pairs "source,target" of phrases to PIE-Bench's "source target", one word each.

    If one side of a pair is empty, the other side's word is used for both.

    >>> blended_word(["round cake,square cake", "cat,dog"]), blended_word(["round cake,square pie"])
    ('cat dog', 'cake pie')
    >>> blended_word([",hat"]), blended_word([])
    ('hat', '')
    """
    sides = [[side.split() for side in pair.split(",", 1)] for pair in pairs]
    sides = [words for words in sides if any(words)]
    if not sides:
        return ""
    chosen = next((words for words in sides if all(len(side) <= 1 for side in words)), sides[0])
    return " ".join(side[-1] for side in chosen if side)

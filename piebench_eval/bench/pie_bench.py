"""The official PIE-Bench folder: ``mapping_file.json`` beside ``annotation_images/``."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from piebench_eval.bench.rle import rle_problem
from piebench_eval.bench.sample import Sample
from piebench_eval.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAPPING_FILE = "mapping_file.json"
IMAGES_FOLDER = "annotation_images"
_SURROGATE = re.compile("[\ud800-\udfff]")
_TEXT_FIELDS = (
    "image_path",
    "original_prompt",
    "editing_prompt",
    "editing_instruction",
    "editing_type_id",
    "blended_word",
)


class _JsonObject(dict[str, Any]):
    """A JSON object that remembers which of its keys were written more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        self.duplicates = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def load_pie_bench(folder: Path) -> list[Sample]:
    """Read and check a benchmark folder, in the order of its annotations.

    Every picture is decoded once, so that a broken file is found before any model is loaded.

    Raises:
        DataError: anything wrong with the folder; it lists every problem with file, id, field and remedy.
    """
    mapping_file = folder / MAPPING_FILE
    annotations = _read_annotations(folder, mapping_file)
    samples: list[Sample] = []
    problems = [
        f"{mapping_file}: id {sample_id} occurs twice; give each annotation its own id"
        for sample_id in annotations.duplicates
    ]
    for sample_id, annotation in annotations.items():
        found = _annotation_problems(folder, annotation)
        problems += [f"{mapping_file}: id {sample_id}: {problem}" for problem in found]
        if not found:
            samples.append(_to_sample(folder, sample_id, annotation))
    problems += [f"{mapping_file}: {problem}" for problem in _shared_outputs(samples)]
    with ThreadPoolExecutor() as pool:
        problems += [problem for problem in pool.map(_picture_problem, samples) if problem]
    if problems:
        raise DataError(problems)
    return samples


def dataset_fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over every annotation and every picture's bytes: equal exactly for equal selections."""
    digest = hashlib.sha256()
    for sample in samples:
        fields = (
            sample.id,
            sample.image_path,
            sample.marked_source_prompt,
            sample.marked_target_prompt,
            sample.type_id,
            sample.blended_word,
            sample.mask_rle,
        )
        digest.update(json.dumps(fields).encode())
        digest.update(hashlib.sha256(sample.file.read_bytes()).digest())
    return digest.hexdigest()


def _read_annotations(folder: Path, mapping_file: Path) -> _JsonObject:
    if not folder.is_dir():
        raise DataError([f"{folder} is not a folder; give the one that holds {MAPPING_FILE}"])
    try:
        annotations = json.loads(mapping_file.read_text(encoding="utf-8"), object_pairs_hook=_JsonObject)
    except FileNotFoundError:
        raise DataError(
            [f"{mapping_file} is missing; give the folder that holds it and {IMAGES_FOLDER}/"]
        ) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(
            [f"{mapping_file} is not valid JSON: {error.msg} at {where}; mend it there"]
        ) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DataError([f"{mapping_file} cannot be read ({error}); restore the file"]) from None
    if not isinstance(annotations, _JsonObject):
        raise DataError([f"{mapping_file} must hold one object that maps ids to annotations"])
    if not annotations:
        raise DataError([f"{mapping_file} holds no annotation"])
    return annotations


def _annotation_problems(folder: Path, annotation: Any) -> list[str]:
    if not isinstance(annotation, dict):
        return [f"must be an object, not {_json_type(annotation)}"]
    problems = []
    for field in (*_TEXT_FIELDS, "mask"):
        if field not in annotation:
            problems.append(f'field "{field}" is missing; add it')
    for field in _TEXT_FIELDS:
        if field in annotation and not isinstance(annotation[field], str):
            problems.append(f'field "{field}" must be text, not {_json_type(annotation[field])}')
        elif _SURROGATE.search(annotation.get(field, "")):
            problems.append(f'field "{field}" holds half a surrogate pair; write the character itself')
    if isinstance(annotation.get("editing_type_id"), str) and not re.fullmatch(
        r"[0-9]+", annotation["editing_type_id"]
    ):
        problems.append(f'field "editing_type_id" must be digits, not {annotation["editing_type_id"]!r}')
    if "mask" in annotation and (problem := rle_problem(annotation["mask"])):
        problems.append(f'field "mask" {problem}')
    path = annotation.get("image_path")
    if (
        isinstance(path, str)
        and not _SURROGATE.search(path)
        and (problem := _path_problem(folder / IMAGES_FOLDER, path))
    ):
        problems.append(f'field "image_path": {problem}')
    return problems


def _json_type(value: Any) -> str:
    names = {bool: "true/false", int: "number", float: "number", list: "list", str: "text"}
    return "object" if isinstance(value, dict) else names.get(type(value), "null")


def _path_problem(images: Path, image_path: str) -> str | None:
    """Say why a path does not lead to a file inside the pictures' folder, or None if it does."""
    if not image_path or "\0" in image_path:
        return f"{image_path!r} names no file"
    if Path(image_path).is_absolute() or ".." in Path(image_path).parts:
        return f"{image_path!r} must be a path below {IMAGES_FOLDER}/, without '..'"
    file = images / image_path
    try:
        resolved = file.resolve()
        inside = resolved.is_relative_to(images.resolve())
        if inside and resolved.is_file():
            return None
    except (OSError, RuntimeError) as error:
        return f"{file} cannot be followed: {error}"
    if not inside:
        return f"{file} is a link that leaves the folder; put the picture itself there"
    return f"{file} does not exist; restore the picture or remove the annotation"


def _to_sample(folder: Path, sample_id: str, annotation: dict[str, Any]) -> Sample:
    return Sample(
        id=sample_id,
        image_path=Path(annotation["image_path"]).as_posix(),
        file=folder / IMAGES_FOLDER / annotation["image_path"],
        marked_source_prompt=annotation["original_prompt"],
        marked_target_prompt=annotation["editing_prompt"],
        instruction=annotation["editing_instruction"],
        type_id=annotation["editing_type_id"],
        blended_word=annotation["blended_word"],
        mask_rle=tuple(annotation["mask"]),
    )


def _shared_outputs(samples: Sequence[Sample]) -> list[str]:
    """Two annotations whose edits would be saved under one name (paths are kept but for their suffix)."""
    owners: dict[str, str] = {}
    problems = []
    for sample in samples:
        stem = str(Path(sample.image_path).with_suffix(""))
        if stem in owners:
            problems.append(
                f'id {sample.id}: field "image_path": {sample.image_path!r} has the name of '
                f"id {owners[stem]}; their edits would overwrite each other: rename one picture"
            )
        owners.setdefault(stem, sample.id)
    return problems


def _picture_problem(sample: Sample) -> str | None:
    try:
        with Image.open(sample.file) as picture:
            picture.load()
    except Exception as error:  # a damaged file makes Pillow raise almost anything, SyntaxError included
        return f"{sample.file}: id {sample.id}: the picture cannot be read ({error}); replace the file"
    return None

"""The official PIE-Bench folder: ``mapping_file.json`` beside ``annotation_images/``."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.bench.blended_words import blended_text, blended_word_problem
from piebench_eval.bench.mapping_file import JsonObject, first_no_number, json_type, read_mapping_file
from piebench_eval.bench.mask_size import is_empty, mask_end, other_size, scale_rle, size_text
from piebench_eval.bench.names import id_problem, shown
from piebench_eval.bench.pictures import PictureError, decode_picture
from piebench_eval.bench.rle import rle_problem
from piebench_eval.bench.sample import Sample
from piebench_eval.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.bench.mask_size import OtherSize, Size

MAPPING_FILE = "mapping_file.json"
IMAGES_FOLDER = "annotation_images"
RESTORE_PICTURE = "restore the picture or remove the annotation"
_SURROGATE = re.compile("[\ud800-\udfff]")
_TEXT_FIELDS = (
    "image_path",
    "original_prompt",
    "editing_prompt",
    "editing_instruction",
    "editing_type_id",
    "blended_word",
)
_TYPE_ID = re.compile("[0-9]{1,9}")


def load_pie_bench(folder: Path, mask_size: Size | None = None, check_masks: bool = True) -> list[Sample]:
    """Read and check a benchmark folder, in the order of its annotations.

    Every picture is decoded once, so that a broken file is found before any model is loaded.

    Args:
        folder: the benchmark folder.
        mask_size: width and height of the pictures that the masks are made for, where their own are others:
            masks are brought to them by the nearest pixels.
        check_masks: refuse masks that are made for pictures of another size.

    Raises:
        DataError: anything wrong with the folder; it lists every problem with file, id, field and remedy.
    """
    mapping_file = folder / MAPPING_FILE
    annotations = _read_annotations(folder, mapping_file)
    samples: list[Sample] = []
    problems = [
        f"{mapping_file}: id {shown(sample_id)} occurs twice; give each annotation its own id"
        for sample_id in annotations.duplicates
    ]
    for sample_id, annotation in annotations.items():
        found = _annotation_problems(folder, annotation)
        if problem := id_problem(sample_id):
            found.insert(0, f"the id {problem}")
        problems += [f"{mapping_file}: id {shown(sample_id)}: {problem}" for problem in found]
        if not found:
            samples.append(_to_sample(folder, sample_id, annotation))
    problems += [f"{mapping_file}: {problem}" for problem in _shared_outputs(samples)]
    with ThreadPoolExecutor() as pool:
        looks = list(pool.map(_look_at_picture, samples))
    problems += [look for look in looks if isinstance(look, str)]
    seen = [(sample, look) for sample, look in zip(samples, looks, strict=True) if isinstance(look, tuple)]
    if mask_size is not None:
        problems += [problem for sample, _ in seen if (problem := _past_the_end(sample, mask_size))]
    elif check_masks and (problem := _other_masks(seen)):
        problems.append(f"{mapping_file}: {problem}")
    if problems:
        raise DataError(problems)
    if mask_size is None:
        return samples
    return [replace(sample, mask_rle=scale_rle(sample.mask_rle, mask_size, size)) for sample, size in seen]


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


def _read_annotations(folder: Path, mapping_file: Path) -> JsonObject:
    if not folder.is_dir():
        raise DataError([f"{folder} is not a folder; give the one that holds {MAPPING_FILE}"])
    try:
        return read_mapping_file(mapping_file)
    except FileNotFoundError:
        raise DataError(
            [f"{mapping_file} is missing; give the folder that holds it and {IMAGES_FOLDER}/"]
        ) from None


def _annotation_problems(folder: Path, annotation: Any) -> list[str]:
    if not isinstance(annotation, JsonObject):
        return [f"must be an object, not {first_no_number(annotation) or json_type(annotation)}"]
    problems = [f'field "{shown(field)}" occurs twice; keep one' for field in annotation.duplicates]
    problems += [
        f'field "{field}" is missing; add it' for field in (*_TEXT_FIELDS, "mask") if field not in annotation
    ]
    for field, value in annotation.items():
        if number := first_no_number(value):
            problems.append(f'field "{shown(field)}" holds {number}, which is no number; write what is meant')
        elif field == "mask" and (problem := rle_problem(value)):
            problems.append(f'field "mask" {problem}')
        elif field in _TEXT_FIELDS and (problem := _text_problem(field, value)):
            problems.append(f'field "{field}" {problem}')
        elif field == "image_path" and (problem := _path_problem(folder / IMAGES_FOLDER, value)):
            problems.append(f'field "image_path": {problem}')
    return problems


def _text_problem(field: str, value: Any) -> str | None:
    if field == "blended_word" and isinstance(value, str | list):
        if problem := blended_word_problem(value):
            return problem
        value = blended_text(value)
    if not isinstance(value, str):
        return f"must be text, not {json_type(value)}"
    if _SURROGATE.search(value):
        return "holds half a surrogate pair; write the character itself"
    if field == "editing_type_id" and not _TYPE_ID.fullmatch(value):
        return f"must be digits (PIE-Bench has 0 to 9), not {shown(repr(value))}"
    return None


def _path_problem(images: Path, image_path: str) -> str | None:
    """Say why a path does not lead to a file inside the pictures' folder, or None if it does."""
    name = shown(repr(image_path))
    if not image_path or "\0" in image_path:
        return f"{name} names no file; give the path of a picture below {IMAGES_FOLDER}/"
    if Path(image_path).is_absolute() or ".." in Path(image_path).parts:
        return f"{name} must be a path below {IMAGES_FOLDER}/, without '..'"
    try:
        resolved = (images / image_path).resolve()
        inside = resolved.is_relative_to(images.resolve())
        if inside and resolved.is_file():
            return None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links go round in a circle"
        return f"{name} cannot be followed ({reason}); give another path"
    if not inside:
        return f"{name} is a link that leaves the folder; put the picture itself there"
    return f"{name} does not exist in {images}; {RESTORE_PICTURE}"


def _to_sample(folder: Path, sample_id: str, annotation: dict[str, Any]) -> Sample:
    return Sample(
        id=sample_id,
        image_path=Path(annotation["image_path"]).as_posix(),
        file=folder / IMAGES_FOLDER / annotation["image_path"],
        marked_source_prompt=annotation["original_prompt"],
        marked_target_prompt=annotation["editing_prompt"],
        instruction=annotation["editing_instruction"],
        type_id=annotation["editing_type_id"],
        blended_word=blended_text(annotation["blended_word"]),
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


def _look_at_picture(sample: Sample) -> Size | str:
    """The width and height of a sample's picture, or what is wrong with it."""
    try:
        height, width, _ = decode_picture(sample.file).shape
    except PictureError as error:
        return f'{sample.file}: id {sample.id}: field "image_path": {error}'
    return width, height


def _past_the_end(sample: Sample, mask_size: Size) -> str | None:
    """Say that a mask has more pixels than the size that all masks are said to have."""
    end = mask_end(sample.mask_rle)
    if end <= mask_size[0] * mask_size[1]:
        return None
    return (
        f'id {sample.id}: field "mask": has a pixel {end - 1}, which a mask of {size_text(mask_size)} has '
        "not; give another --mask-size, or correct the mask"
    )


def _other_masks(seen: Sequence[tuple[Sample, Size]]) -> str | None:
    """Say that masks are made for pictures of another size; doubtful ones count if half are doubtful.

    Args:
        seen: the samples, with the sizes of their pictures.
    """
    marked = [(sample, size) for sample, size in seen if not is_empty(sample.mask_rle, size)]
    others = [(sample, size, other_size(sample.mask_rle, size)) for sample, size in seen]
    doubtful = [(sample, size, other) for sample, size, other in others if other is not None]
    if 2 * len(doubtful) < len(marked):
        doubtful = [found for found in doubtful if found[2].sure]
    return _mask_message(doubtful, len(seen)) if doubtful else None


def _mask_message(wrong: Sequence[tuple[Sample, Size, OtherSize]], total: int) -> str:
    examples = "; ".join(
        f"id {sample.id}: a mask of {size_text(other.size)} on a picture of {size_text(size)}"
        for sample, size, other in wrong[:5]
    )
    more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    _, size, other = wrong[0]
    width, height = other.size
    option = str(width) if width == height else size_text(other.size)
    as_it_is = f", or --mask-size {size_text(size)} if they fit as they are" if not other.sure else ""
    return (
        f'field "mask": {len(wrong)} of {total} masks seem to be made for pictures of another size '
        f"({examples}{more}); pass --mask-size {option}, which scales all masks from that size to their "
        f"pictures{as_it_is}; or restore the pictures that belong to the masks"
    )

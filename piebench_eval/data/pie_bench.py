"""Load a PIE-Bench folder: ``mapping_file.json`` beside ``annotation_images/``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from piebench_eval.data.annotations import IMAGES_FOLDER, AnnotationReader
from piebench_eval.data.images import ImageError, decode_image, size_text
from piebench_eval.data.mapping_file import read_mapping_file
from piebench_eval.data.mask_size import other_size
from piebench_eval.data.masks import is_empty, mask_image_to_rle, rle_end, scale_rle
from piebench_eval.data.messages import printable
from piebench_eval.data.sample import id_problem
from piebench_eval.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from piebench_eval.data.images import Size
    from piebench_eval.data.mapping_file import JsonObject
    from piebench_eval.data.mask_size import OtherSize
    from piebench_eval.data.sample import Sample

MAPPING_FILE = "mapping_file.json"


def load_pie_bench(folder: Path, mask_size: Size | None = None, check_masks: bool = True) -> list[Sample]:
    """Load and check the samples of a benchmark folder, in the order of its annotations.

    Every image is decoded once, so that a broken file is found before any model is loaded.

    Args:
        folder: the benchmark folder.
        mask_size: width and height of the images that the masks were made for, if the images have other
            sizes: masks are resized to their images by the nearest pixels.
        check_masks: refuse masks that were made for images of another size.

    Returns:
        The samples.

    Raises:
        DataError: every problem of the folder, with file, id, field and remedy.
    """
    mapping_file = folder / MAPPING_FILE
    annotations = _read_annotations(folder, mapping_file)
    samples, mask_files, problems = _read_samples(folder, annotations)
    samples, found = _with_unique_paths(samples)
    problems = [f"{mapping_file}: {problem}" for problem in [*problems, *found]]
    with ThreadPoolExecutor() as pool:
        decoded = list(
            pool.map(lambda each: _decode_images(each, mask_files.get(each.id), mask_size), samples)
        )
    problems += [each for each in decoded if isinstance(each, str)]
    checked = [
        (sample if each.mask is None else replace(sample, mask_rle=each.mask), each.size)
        for sample, each in zip(samples, decoded, strict=True)
        if isinstance(each, _DecodedSample)
    ]
    if mask_size is not None:
        problems += [
            f"{mapping_file}: {problem}"
            for sample, _ in checked
            if (problem := _past_the_end(sample, mask_size))
        ]
    elif check_masks and (problem := _wrong_size_masks(checked)):
        problems.append(f"{mapping_file}: {problem}")
    if problems:
        raise DataError(problems)
    if mask_size is None:
        return [sample for sample, _ in checked]
    return [replace(sample, mask_rle=scale_rle(sample.mask_rle, mask_size, size)) for sample, size in checked]


def dataset_fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over the annotations and image bytes of a selection of samples."""
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
            [
                f"{mapping_file} is missing; give the folder that holds it and {IMAGES_FOLDER}/, or make one "
                "of another format: piebench data convert --help"
            ]
        ) from None


def _read_samples(folder: Path, annotations: JsonObject) -> tuple[list[Sample], dict[str, Path], list[str]]:
    """The samples of valid annotations, their mask images by id, and the problems of the others."""
    problems = [
        f"id {printable(sample_id)} occurs twice; give each annotation its own id"
        for sample_id in annotations.duplicates
    ]
    checks = AnnotationReader(folder)
    samples: list[Sample] = []
    mask_files: dict[str, Path] = {}
    for sample_id, annotation in annotations.items():
        found = checks.problems(annotation)
        if problem := id_problem(sample_id):
            found.insert(0, f"the id {problem}")
        problems += [f"id {printable(sample_id)}: {problem}" for problem in found]
        if not found:
            sample, mask_file = checks.sample(sample_id, annotation)
            samples.append(sample)
            if mask_file is not None:
                mask_files[sample_id] = mask_file
    return samples, mask_files, problems


def _with_unique_paths(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Make the paths under which edits are saved unique.

    Edits are saved under their image's path without its suffix. If several samples share it, their ids
    replace the file name.

    Returns:
        The samples, and a problem for each path that is still shared.
    """
    count = Counter(map(_edit_path, samples))
    unique = [
        replace(sample, image_path=str(PurePosixPath(sample.image_path).with_name(_file_name(sample))))
        if count[_edit_path(sample)] > 1
        else sample
        for sample in samples
    ]
    ids_by_path: dict[str, str] = {}
    problems = []
    for sample in unique:
        path = _edit_path(sample)
        if path in ids_by_path:
            problems.append(
                f'id {sample.id}: field "image_path": its edits would be kept as {path}, as those of id '
                f"{ids_by_path[path]} are; rename the picture or the id"
            )
        ids_by_path.setdefault(path, sample.id)
    return unique, problems


def _edit_path(sample: Sample) -> str:
    return str(PurePosixPath(sample.image_path).with_suffix(""))


def _file_name(sample: Sample) -> str:
    return sample.id + PurePosixPath(sample.image_path).suffix


@dataclass(frozen=True)
class _DecodedSample:
    """Size of a sample's decoded image, and its mask if that is an image too."""

    size: Size
    mask: tuple[int, ...] | None


def _decode_images(sample: Sample, mask_file: Path | None, mask_size: Size | None) -> _DecodedSample | str:
    """Decode the image and mask image of a sample, or explain what is wrong."""
    file, field = sample.file, "image_path"
    try:
        height, width, _ = decode_image(file).shape
        if mask_file is None:
            return _DecodedSample((width, height), None)
        file, field = mask_file, "mask"
        return _DecodedSample((width, height), mask_image_to_rle(mask_file, mask_size or (width, height)))
    except ImageError as error:
        return f'{file}: id {sample.id}: field "{field}": {error}'


def _past_the_end(sample: Sample, mask_size: Size) -> str | None:
    """Explain that a mask extends past the size given for all masks; None if it does not."""
    end = rle_end(sample.mask_rle)
    if end <= mask_size[0] * mask_size[1]:
        return None
    return (
        f'id {sample.id}: field "mask": has a pixel {end - 1}, which a mask of {size_text(mask_size)} has '
        "not; give another --mask-size, or correct the mask"
    )


def _wrong_size_masks(checked: Sequence[tuple[Sample, Size]]) -> str | None:
    """Explain that masks were made for images of another size; None if all fit.

    Masks that are unlikely, but possible, count only if they are half of all masks or more.

    Args:
        checked: the samples, with the sizes of their images.
    """
    marked = [(sample, size) for sample, size in checked if not is_empty(sample.mask_rle, size)]
    others = [(sample, size, other_size(sample.mask_rle, size)) for sample, size in checked]
    doubtful = [(sample, size, other) for sample, size, other in others if other is not None]
    if 2 * len(doubtful) < len(marked):
        doubtful = [found for found in doubtful if found[2].sure]
    return _mask_message(doubtful, len(checked)) if doubtful else None


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

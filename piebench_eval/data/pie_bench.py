"""The official PIE-Bench folder: ``mapping_file.json`` beside ``annotation_images/``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from piebench_eval.data.annotations import IMAGES_FOLDER, Annotations
from piebench_eval.data.image_files import PictureError, decode_picture
from piebench_eval.data.mapping_file import read_mapping_file
from piebench_eval.data.mask_files import mask_as_runs
from piebench_eval.data.mask_size import is_empty, mask_end, other_size, scale_rle, size_text
from piebench_eval.data.names import id_problem, shown
from piebench_eval.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from piebench_eval.data.mapping_file import JsonObject
    from piebench_eval.data.mask_size import OtherSize, Size
    from piebench_eval.data.sample import Sample

MAPPING_FILE = "mapping_file.json"


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
    samples, mask_files, problems = _read_samples(folder, annotations)
    samples, found = _edits_apart(samples)
    problems = [f"{mapping_file}: {problem}" for problem in [*problems, *found]]
    with ThreadPoolExecutor() as pool:
        looks = list(
            pool.map(lambda each: _look_at_pictures(each, mask_files.get(each.id), mask_size), samples)
        )
    problems += [look for look in looks if isinstance(look, str)]
    seen = [
        (sample if look.mask is None else replace(sample, mask_rle=look.mask), look.size)
        for sample, look in zip(samples, looks, strict=True)
        if isinstance(look, _Look)
    ]
    if mask_size is not None:
        problems += [
            f"{mapping_file}: {problem}"
            for sample, _ in seen
            if (problem := _past_the_end(sample, mask_size))
        ]
    elif check_masks and (problem := _other_masks(seen)):
        problems.append(f"{mapping_file}: {problem}")
    if problems:
        raise DataError(problems)
    if mask_size is None:
        return [sample for sample, _ in seen]
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
            [
                f"{mapping_file} is missing; give the folder that holds it and {IMAGES_FOLDER}/, or make one "
                "of another format: piebench data convert --help"
            ]
        ) from None


def _read_samples(folder: Path, annotations: JsonObject) -> tuple[list[Sample], dict[str, Path], list[str]]:
    """The samples whose annotations are sound, the pictures of their masks by id, and what is wrong."""
    problems = [
        f"id {shown(sample_id)} occurs twice; give each annotation its own id"
        for sample_id in annotations.duplicates
    ]
    checks = Annotations(folder)
    samples: list[Sample] = []
    mask_files: dict[str, Path] = {}
    for sample_id, annotation in annotations.items():
        found = checks.problems(annotation)
        if problem := id_problem(sample_id):
            found.insert(0, f"the id {problem}")
        problems += [f"id {shown(sample_id)}: {problem}" for problem in found]
        if not found:
            sample, mask_file = checks.sample(sample_id, annotation)
            samples.append(sample)
            if mask_file is not None:
                mask_files[sample_id] = mask_file
    return samples, mask_files, problems


def _edits_apart(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Give the edits of every sample a place of their own.

    Edits are kept under the path of their picture, but for its suffix. Where that is the same for several
    samples, their ids take the place of the picture's name.

    Returns:
        The samples, and what is wrong if two places are the same all the same.
    """
    count = Counter(map(_place_of_edits, samples))
    apart = [
        replace(sample, image_path=str(PurePosixPath(sample.image_path).with_name(_file_name(sample))))
        if count[_place_of_edits(sample)] > 1
        else sample
        for sample in samples
    ]
    owners: dict[str, str] = {}
    problems = []
    for sample in apart:
        place = _place_of_edits(sample)
        if place in owners:
            problems.append(
                f'id {sample.id}: field "image_path": its edits would be kept as {place}, as those of id '
                f"{owners[place]} are; rename the picture or the id"
            )
        owners.setdefault(place, sample.id)
    return apart, problems


def _place_of_edits(sample: Sample) -> str:
    return str(PurePosixPath(sample.image_path).with_suffix(""))


def _file_name(sample: Sample) -> str:
    return sample.id + PurePosixPath(sample.image_path).suffix


@dataclass(frozen=True)
class _Look:
    """What is known of a picture once it is decoded: its size, and the mask if that is a picture too."""

    size: Size
    mask: tuple[int, ...] | None


def _look_at_pictures(sample: Sample, mask_file: Path | None, mask_size: Size | None) -> _Look | str:
    """Decode the pictures of a sample, or say what is wrong with them."""
    file, field = sample.file, "image_path"
    try:
        height, width, _ = decode_picture(file).shape
        if mask_file is None:
            return _Look((width, height), None)
        file, field = mask_file, "mask"
        return _Look((width, height), mask_as_runs(mask_file, mask_size or (width, height)))
    except PictureError as error:
        return f'{file}: id {sample.id}: field "{field}": {error}'


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

"""Check an annotation of the mapping file, field by field, and convert it to a sample."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.data.mapping_file import JsonObject, find_invalid_number
from piebench_eval.data.masks import rle_problem
from piebench_eval.data.messages import kind_of, printable
from piebench_eval.data.paths import CaseInsensitiveListing, PathError, allowed_roots, find_file
from piebench_eval.data.prompts import blended_word_problem, blended_word_text
from piebench_eval.data.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES_FOLDER = "annotation_images"
RESTORE_IMAGE = "restore the picture or remove the annotation"

_MISSING = {
    "image_path": "add it",
    "original_prompt": "add it",
    "editing_prompt": "add it",
    "editing_type_id": 'add it ("0" where nothing is known)',
    "blended_word": 'add it ("" where there is none)',
    "mask": "add it ([] where nothing is marked)",
}
"""The remedy for each missing field."""

_OPTIONAL = "editing_instruction"
"""Shown in reports only."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_TYPE_ID = re.compile("[0-9]{1,9}")
_NUMBERS_AS_TEXT = re.compile(r"[\d\s,.;\[\]-]+")


class AnnotationReader:
    """Checks annotations of a benchmark folder and converts them to samples.

    Args:
        folder: the benchmark folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._images = folder / IMAGES_FOLDER
        self._listing = CaseInsensitiveListing()
        self._roots = [self._images.resolve(), *allowed_roots(folder)]

    def problems(self, annotation: Any) -> list[str]:
        """Every problem of an annotation, with field and remedy."""
        if not isinstance(annotation, JsonObject):
            return [f"must be an object, not {find_invalid_number(annotation) or kind_of(annotation)}"]
        problems = [f'field "{printable(field)}" occurs twice; keep one' for field in annotation.duplicates]
        problems += [
            f'field "{field}" is missing; {remedy}'
            for field, remedy in _MISSING.items()
            if field not in annotation
        ]
        for field, value in annotation.items():
            if number := find_invalid_number(value):
                problems.append(
                    f'field "{printable(field)}" holds {number}, which is no number; write what is meant'
                )
            elif problem := self._field_problem(field, value, annotation):
                problems.append(f'field "{field}"{problem}')
        return problems

    def sample(self, sample_id: str, annotation: dict[str, Any]) -> tuple[Sample, Path | None]:
        """Convert a checked annotation; returns the sample, and the mask's file if the mask is an image."""
        mask = annotation["mask"]
        sample = Sample(
            id=sample_id,
            image_path=Path(annotation["image_path"]).as_posix(),
            file=self._image_file(annotation["image_path"]),
            marked_source_prompt=annotation["original_prompt"],
            marked_target_prompt=annotation["editing_prompt"],
            instruction=annotation.get(_OPTIONAL) or "",
            type_id=str(annotation["editing_type_id"]),
            blended_word=blended_word_text(annotation["blended_word"]),
            mask_rle=() if isinstance(mask, str) else tuple(mask),
        )
        return sample, self._mask_file(mask, annotation["image_path"]) if isinstance(mask, str) else None

    def _field_problem(self, field: str, value: Any, annotation: JsonObject) -> str | None:
        if field == "mask":
            path = annotation.get("image_path")
            problem = self._mask_problem(value, path if isinstance(path, str) else "")
            return f" {problem}" if problem else None
        if field == _OPTIONAL and value is None:
            return None
        if field in _MISSING or field == _OPTIONAL:
            if problem := text_problem(field, value):
                return f" {problem}"
            if field == "image_path" and (problem := _path_problem(self._image_file, value)):
                return f": {problem}"
        return None

    def _image_file(self, image_path: str) -> Path:
        """Find an image file.

        Raises:
            PathError: there is none.
        """
        name = printable(repr(image_path))
        if not image_path or "\0" in image_path:
            raise PathError(f"{name} names no file; give the path of a picture below {IMAGES_FOLDER}/")
        file = find_file(image_path, [self._images], self._roots, self._listing)
        if file is None:
            raise PathError(f"{name} does not exist in {self._images}; {RESTORE_IMAGE}")
        return file

    def _mask_problem(self, value: Any, image_path: str) -> str | None:
        if not isinstance(value, str):
            problem = rle_problem(value)
            is_coco = isinstance(value, dict) and "counts" in value
            return (
                f"{problem}; for COCO's masks: piebench data convert --from coco-mask" if is_coco else problem
            )
        if _NUMBERS_AS_TEXT.fullmatch(value):
            return 'must be a list of numbers (start, length, ...), not text; write [1, 2] instead of "1 2"'
        return _path_problem(lambda path: self._mask_file(path, image_path), value)

    def _mask_file(self, path: str, image_path: str) -> Path:
        """Find a mask's image file, below the benchmark folder or beside the sample's image.

        Raises:
            PathError: there is none.
        """
        if not path or "\0" in path or _SURROGATE.search(path):
            raise PathError("must be a list of numbers or the path of a picture, and is neither")
        beside = (self._images / image_path).parent
        bases = [self._folder, self._images, *([beside] if beside.is_relative_to(self._images) else [])]
        file = find_file(path, bases, self._roots, self._listing)
        if file is None:
            raise PathError(
                f"must be a list of numbers or the path of a picture, and {printable(repr(path))} "
                "is not there, neither in the folder nor beside the picture"
            )
        return file


def text_problem(field: str, value: Any) -> str | None:
    """Explain why a value does not fit a text field; None if it does."""
    if field == "blended_word" and isinstance(value, str | list):
        if problem := blended_word_problem(value):
            return problem
        value = blended_word_text(value)
    if field == "editing_type_id" and type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        remedy = '; write "" where there is none' if field == "blended_word" else ""
        return f"must be text, not {kind_of(value)}{remedy}"
    if _SURROGATE.search(value):
        return "holds half a surrogate pair; write the character itself"
    if field == "editing_type_id" and not _TYPE_ID.fullmatch(value):
        return f"must be digits (PIE-Bench has 0 to 9), not {printable(repr(value))}"
    return None


def _path_problem(find: Callable[[str], Path], path: str) -> str | None:
    try:
        find(path)
    except PathError as error:
        return str(error)
    return None

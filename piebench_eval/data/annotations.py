"""One annotation of a mapping file: its fields, checked, as a sample."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.data.blended_words import blended_text, blended_word_problem
from piebench_eval.data.mapping_file import JsonObject, first_no_number
from piebench_eval.data.names import kind_of, shown
from piebench_eval.data.paths import OtherCase, PlaceError, find_inside, link_roots
from piebench_eval.data.rle import rle_problem
from piebench_eval.data.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES_FOLDER = "annotation_images"
RESTORE_PICTURE = "restore the picture or remove the annotation"

_MISSING = {
    "image_path": "add it",
    "original_prompt": "add it",
    "editing_prompt": "add it",
    "editing_type_id": 'add it ("0" where nothing is known)',
    "blended_word": 'add it ("" where there is none)',
    "mask": "add it ([] where nothing is marked)",
}
"""What to do about a field that is not there."""

_OPTIONAL = "editing_instruction"
"""Shown in reports; no score and no edit needs it."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_TYPE_ID = re.compile("[0-9]{1,9}")
_NUMBERS_AS_TEXT = re.compile(r"[\d\s,.;\[\]-]+")


class Annotations:
    """The annotations of a benchmark folder.

    Args:
        folder: the benchmark folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._images = folder / IMAGES_FOLDER
        self._others = OtherCase()
        self._roots = [self._images.resolve(), *link_roots(folder)]

    def problems(self, annotation: Any) -> list[str]:
        """What is wrong with an annotation, with field and remedy."""
        if not isinstance(annotation, JsonObject):
            return [f"must be an object, not {first_no_number(annotation) or kind_of(annotation)}"]
        problems = [f'field "{shown(field)}" occurs twice; keep one' for field in annotation.duplicates]
        problems += [
            f'field "{field}" is missing; {remedy}'
            for field, remedy in _MISSING.items()
            if field not in annotation
        ]
        for field, value in annotation.items():
            if number := first_no_number(value):
                problems.append(
                    f'field "{shown(field)}" holds {number}, which is no number; write what is meant'
                )
            elif problem := self._field_problem(field, value, annotation):
                problems.append(f'field "{field}"{problem}')
        return problems

    def sample(self, sample_id: str, annotation: dict[str, Any]) -> tuple[Sample, Path | None]:
        """A sample, and the picture of its mask if that is one; the annotation has no problems."""
        mask = annotation["mask"]
        sample = Sample(
            id=sample_id,
            image_path=Path(annotation["image_path"]).as_posix(),
            file=self._picture(annotation["image_path"]),
            marked_source_prompt=annotation["original_prompt"],
            marked_target_prompt=annotation["editing_prompt"],
            instruction=annotation.get(_OPTIONAL) or "",
            type_id=str(annotation["editing_type_id"]),
            blended_word=blended_text(annotation["blended_word"]),
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
            if field == "image_path" and (problem := _place_problem(self._picture, value)):
                return f": {problem}"
        return None

    def _picture(self, image_path: str) -> Path:
        """The file of a picture.

        Raises:
            PlaceError: there is none.
        """
        name = shown(repr(image_path))
        if not image_path or "\0" in image_path:
            raise PlaceError(f"{name} names no file; give the path of a picture below {IMAGES_FOLDER}/")
        file = find_inside(image_path, [self._images], self._roots, self._others)
        if file is None:
            raise PlaceError(f"{name} does not exist in {self._images}; {RESTORE_PICTURE}")
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
        return _place_problem(lambda path: self._mask_file(path, image_path), value)

    def _mask_file(self, path: str, image_path: str) -> Path:
        """The picture of a mask, which lies below the benchmark folder, or beside the picture.

        Raises:
            PlaceError: there is none.
        """
        if not path or "\0" in path or _SURROGATE.search(path):
            raise PlaceError("must be a list of numbers or the path of a picture, and is neither")
        beside = (self._images / image_path).parent
        bases = [self._folder, self._images, *([beside] if beside.is_relative_to(self._images) else [])]
        file = find_inside(path, bases, self._roots, self._others)
        if file is None:
            raise PlaceError(
                f"must be a list of numbers or the path of a picture, and {shown(repr(path))} is not there, "
                "neither in the folder nor beside the picture"
            )
        return file


def text_problem(field: str, value: Any) -> str | None:
    """Say what keeps a value from being that of a field that holds text, or None if nothing does."""
    if field == "blended_word" and isinstance(value, str | list):
        if problem := blended_word_problem(value):
            return problem
        value = blended_text(value)
    if field == "editing_type_id" and type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        remedy = '; write "" where there is none' if field == "blended_word" else ""
        return f"must be text, not {kind_of(value)}{remedy}"
    if _SURROGATE.search(value):
        return "holds half a surrogate pair; write the character itself"
    if field == "editing_type_id" and not _TYPE_ID.fullmatch(value):
        return f"must be digits (PIE-Bench has 0 to 9), not {shown(repr(value))}"
    return None


def _place_problem(find: Callable[[str], Path], path: str) -> str | None:
    try:
        find(path)
    except PlaceError as error:
        return str(error)
    return None

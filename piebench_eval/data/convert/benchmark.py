"""Convert edits in another format to a benchmark folder in PIE-Bench's layout."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from piebench_eval.data.atomic_folder import atomic_folder, require_new
from piebench_eval.data.convert.coco_masks import coco_to_rle
from piebench_eval.data.convert.csv_table import read_csv
from piebench_eval.data.convert.flowedit import read_flowedit
from piebench_eval.data.convert.json_annotations import read_coco_mask, read_ti2i
from piebench_eval.data.images import ImageError, decode_image
from piebench_eval.data.masks import encode_rle, read_mask_image, rle_problem
from piebench_eval.data.messages import printable
from piebench_eval.data.paths import CaseInsensitiveListing
from piebench_eval.data.pie_bench import IMAGES_FOLDER, MAPPING_FILE
from piebench_eval.data.summary import summarise_new_folder
from piebench_eval.errors import DataError, PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from piebench_eval.data.convert.raw_annotations import RawAnnotation, RawAnnotations
    from piebench_eval.data.images import Size
    from piebench_eval.data.summary import TypeSummary


@dataclass(frozen=True)
class InputFormat:
    """An input format.

    Attributes:
        read: reads the annotations of a file.
        patterns: file name patterns in a folder, the most likely first.
    """

    read: Callable[[Path], RawAnnotations]
    patterns: tuple[str, ...]


FORMATS = {
    "flowedit": InputFormat(read_flowedit, ("*.yaml", "*.yml")),
    "ti2i": InputFormat(read_ti2i, ("mapping_file_ti2i_benchmark.json", MAPPING_FILE, "*.json")),
    "coco-mask": InputFormat(read_coco_mask, (MAPPING_FILE, "*.json")),
    "csv": InputFormat(read_csv, ("*.csv", "*.tsv")),
}

_DEFAULTS = {
    "original_prompt": "",
    "editing_prompt": "",
    "editing_instruction": "",
    "editing_type_id": "0",
    "blended_word": "",
}
"""Values of the fields that a format does not have, in the order of the mapping file."""

_NOTES = {
    "mask": "no mask; the background metrics (PSNR, LPIPS, MSE, SSIM) compare the whole picture",
    "editing_type_id": "no editing type; it is 0 (random)",
    "short": "a mask whose counts end before the picture does; the rest is not marked",
}
"""The notes on samples without a field."""


@dataclass(frozen=True)
class Converted:
    """The result of a conversion.

    Attributes:
        summaries: the new folder, by editing type.
        notes: fields that its samples lack.
    """

    summaries: list[TypeSummary]
    notes: list[str]


def convert_benchmark(
    name: str, source: Path, folder: Path, images: Path | None, progress: Callable[[int, int], None]
) -> Converted:
    """Create a benchmark folder from edits in another format.

    Args:
        name: a key of ``FORMATS``.
        source: the input file, or a folder with one such file.
        folder: the new folder.
        images: the folder that image and mask paths are relative to; None for the file's folder or one of the
            two above it.
        progress: called with the samples done and their total number.

    Raises:
        DataError: every problem of the file, its images and masks, with file, place, field and remedy.
        PiebenchError: the file has another format, or the new folder is not empty or cannot be written.
    """
    require_new(folder)
    if images is not None and not images.is_dir():
        raise PiebenchError(f"--images {images}: is no folder; give the one that the paths start from")
    raw = FORMATS[name].read(_file_of(name, source))
    with atomic_folder(folder) as partial:
        writer = _FolderWriter(raw, partial, images)
        for done, annotation in enumerate(raw.found, start=1):
            writer.add(annotation)
            progress(done, len(raw.found))
        if raw.problems:
            raise DataError(list(dict.fromkeys(raw.problems)))
        text = json.dumps(writer.annotations, indent=1, ensure_ascii=False)
        (partial / MAPPING_FILE).write_text(text, encoding="utf-8")
        summaries = summarise_new_folder(partial, str(folder))
    total = len(raw.found)
    notes = [f"{count} of {total} samples: {_NOTES[what]}." for what, count in writer.missing.items()]
    return Converted(summaries, notes)


def _file_of(name: str, source: Path) -> Path:
    """The input file; a folder stands for the only file of the format in it."""
    if not source.is_dir():
        return source
    patterns = FORMATS[name].patterns
    for pattern in patterns:
        found = sorted(source.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found[:5])
            raise PiebenchError(f"--in {source}: holds several files {pattern} ({names}); name one of them")
    raise PiebenchError(f"--in {source}: holds no file {' or '.join(patterns)}; name the file")


class _FolderWriter:
    """Copies images into a new folder and collects the annotations of its mapping file."""

    def __init__(self, raw: RawAnnotations, folder: Path, images: Path | None):
        self.annotations: dict[str, dict[str, Any]] = {}
        self.missing: Counter[str] = Counter()
        self._raw, self._folder = raw, folder
        base = images or raw.file.parent
        self._bases = [base, base / IMAGES_FOLDER]
        self._above = [] if images else list(raw.file.resolve().parents[1:3])
        self._listing = CaseInsensitiveListing()
        self._sizes: dict[Path, Size] = {}
        self._copied: dict[Path, str] = {}

    def add(self, annotation: RawAnnotation) -> None:
        """Copy an annotation's image and keep the annotation, or record the problem."""
        try:
            image = self._find(annotation.image)
            size = self._size(image)
        except ValueError as error:
            self._raw.problem(annotation.place, f'field "{annotation.image_field}": {error}')
            return
        try:
            mask = self._to_rle(annotation.mask, size)
        except ValueError as error:
            self._raw.problem(annotation.place, f'field "mask" {error}')
            return
        if "editing_type_id" not in annotation.fields:
            self.missing["editing_type_id"] += 1
        self.annotations[annotation.id] = {
            "image_path": self._copy(image, annotation),
            **_DEFAULTS,
            **annotation.fields,
            "mask": mask,
        }

    def _find(self, path: str) -> Path:
        """Find the file of a path; its first folders may be missing, or belong to a folder above."""
        plain = path if "/" in path else path.replace("\\", "/")
        if not plain or "\0" in plain:
            raise ValueError(f"{printable(repr(path))} names no file; write the path of a picture")
        parts = PurePosixPath(plain).parts
        tails = [PurePosixPath(*parts[first:]) for first in range(max(1, len(parts) - 1))]
        try:
            for tail in tails:
                for base in [*self._bases, *(self._above if tail == tails[0] else [])]:
                    if (base / tail).is_file():
                        return base / tail
            for base in self._bases:
                if len(found := self._listing.files(base, plain)) == 1:
                    return found[0]
        except OSError as error:
            raise ValueError(f"{printable(repr(path))} cannot be followed ({error.strerror})") from None
        raise ValueError(
            f"{printable(repr(path))} is not there, seen from {self._bases[0]}; give the folder that "
            "the paths start from: --images FOLDER"
        )

    def _size(self, image: Path) -> Size:
        if image not in self._sizes:
            try:
                height, width, _ = decode_image(image).shape
            except ImageError as error:
                raise ValueError(f"{image}: {error}") from None
            self._sizes[image] = (width, height)
        return self._sizes[image]

    def _to_rle(self, mask: Any, size: Size) -> list[int]:
        """Convert a mask in any format to a run-length list."""
        if mask is None:
            self.missing["mask"] += 1
            return []
        if isinstance(mask, dict):
            runs, whole = coco_to_rle(mask, size)
            self.missing.update([] if whole else ["short"])
            return runs
        if isinstance(mask, str):
            file = self._find(mask)
            try:
                marked = read_mask_image(file)
            except ImageError as error:
                raise ValueError(f"{file}: {error}") from None
            if marked.shape[::-1] != size:
                raise ValueError(
                    f"is a picture of {marked.shape[1]}x{marked.shape[0]}, but belongs to one of "
                    f"{size[0]}x{size[1]}; save it in that size"
                )
            return encode_rle(marked)
        if problem := rle_problem(mask):
            raise ValueError(problem)
        return list(mask)

    def _copy(self, image: Path, annotation: RawAnnotation) -> str:
        """Copy an image once; returns its path below the folder of images."""
        if image not in self._copied:
            parts = PurePosixPath(annotation.image.replace("\\", "/")).parts
            if IMAGES_FOLDER in parts:
                parts = parts[parts.index(IMAGES_FOLDER) + 1 :]
            path = PurePosixPath(*parts) if parts else PurePosixPath(image.name)
            if path.is_absolute() or ".." in path.parts:
                path = PurePosixPath(image.name)
            number = 1
            while str(path) in self._copied.values():
                path = PurePosixPath(f"{annotation.id}{'' if number == 1 else -number}{image.suffix}")
                number += 1
            file = self._folder / IMAGES_FOLDER / path
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, file)
            self._copied[image] = str(path)
        return self._copied[image]

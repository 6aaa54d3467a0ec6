"""From another format to a folder in the official layout, checked before it gets its name."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from piebench_eval.data.atomic_folder import require_new, whole_folder
from piebench_eval.data.convert.csv_table import read_csv
from piebench_eval.data.convert.flowedit import read_flowedit
from piebench_eval.data.convert.masks import coco_runs
from piebench_eval.data.convert.records import read_coco_mask, read_ti2i
from piebench_eval.data.image_files import PictureError, decode_picture
from piebench_eval.data.mask_files import read_mask
from piebench_eval.data.names import shown
from piebench_eval.data.paths import OtherCase
from piebench_eval.data.pie_bench import IMAGES_FOLDER, MAPPING_FILE, load_pie_bench
from piebench_eval.data.rle import encode_rle, rle_problem
from piebench_eval.data.summary import summarise
from piebench_eval.errors import DataError, PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from piebench_eval.data.convert.draft import Draft, Drafts
    from piebench_eval.data.mask_size import Size
    from piebench_eval.data.summary import TypeSummary


@dataclass(frozen=True)
class Format:
    """A format that can be read.

    Attributes:
        read: gives the drafts of a file.
        patterns: the names that the file has in a folder, the likeliest first.
    """

    read: Callable[[Path], Drafts]
    patterns: tuple[str, ...]


FORMATS = {
    "flowedit": Format(read_flowedit, ("*.yaml", "*.yml")),
    "ti2i": Format(read_ti2i, ("mapping_file_ti2i_benchmark.json", MAPPING_FILE, "*.json")),
    "coco-mask": Format(read_coco_mask, (MAPPING_FILE, "*.json")),
    "csv": Format(read_csv, ("*.csv", "*.tsv")),
}

_UNKNOWN = {
    "original_prompt": "",
    "editing_prompt": "",
    "editing_instruction": "",
    "editing_type_id": "0",
    "blended_word": "",
}
"""What fields hold that a format does not have, in the official file's order."""

_NOTES = {
    "mask": "no mask; the background metrics (PSNR, LPIPS, MSE, SSIM) compare the whole picture",
    "editing_type_id": "no editing type; it is 0 (random)",
    "short": "a mask whose counts end before the picture does; nothing behind them is marked",
}
"""What is said of samples that lack something."""


@dataclass(frozen=True)
class Converted:
    """A folder that was made.

    Attributes:
        summaries: what it holds, by editing type.
        notes: what its samples lack.
    """

    summaries: list[TypeSummary]
    notes: list[str]


def convert(
    name: str, source: Path, folder: Path, images: Path | None, progress: Callable[[int, int], None]
) -> Converted:
    """Make a benchmark folder of another format's.

    Args:
        name: a key of ``FORMATS``.
        source: the format's file, or a folder with one such file.
        folder: the new folder.
        images: the folder that the paths of pictures and masks start from; None is the file's own, or one of
            those above it.
        progress: is told how many samples of how many are done.

    Raises:
        DataError: anything wrong with the file, its pictures or masks; it lists every problem with file,
            place, field and remedy.
        PiebenchError: the file is something else, or the new folder holds something, or cannot be written.
    """
    require_new(folder)
    if images is not None and not images.is_dir():
        raise PiebenchError(f"--images {images}: is no folder; give the one that the paths start from")
    drafts = FORMATS[name].read(_file_of(name, source))
    with whole_folder(folder) as partial:
        copying = _Copying(drafts, partial, images)
        for done, draft in enumerate(drafts.found, start=1):
            copying.add(draft)
            progress(done, len(drafts.found))
        if drafts.problems:
            raise DataError(list(dict.fromkeys(drafts.problems)))
        text = json.dumps(copying.annotations, indent=1, ensure_ascii=False)
        (partial / MAPPING_FILE).write_text(text, encoding="utf-8")
        try:
            summaries = summarise(load_pie_bench(partial, check_masks=False))
        except DataError as error:
            raise DataError([text.replace(str(partial), str(folder)) for text in error.problems]) from None
    total = len(drafts.found)
    notes = [f"{count} of {total} samples: {_NOTES[what]}." for what, count in copying.lacking.items()]
    return Converted(summaries, notes)


def _file_of(name: str, source: Path) -> Path:
    """The file of a format, which may be named by its folder if it is the only one there."""
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


class _Copying:
    """Copies the pictures of drafts into a new folder, and writes their annotations."""

    def __init__(self, drafts: Drafts, folder: Path, images: Path | None):
        self.annotations: dict[str, dict[str, Any]] = {}
        self.lacking: Counter[str] = Counter()
        self._drafts, self._folder = drafts, folder
        own = images or drafts.file.parent
        self._own = [own, own / IMAGES_FOLDER]
        self._above = [] if images else list(drafts.file.resolve().parents[1:3])
        self._others = OtherCase()
        self._sizes: dict[Path, Size] = {}
        self._copied: dict[Path, str] = {}

    def add(self, draft: Draft) -> None:
        """Copy a draft's picture, and note its annotation or what is wrong."""
        try:
            picture = self._found(draft.picture)
            size = self._size(picture)
        except ValueError as error:
            self._drafts.problem(draft.place, f'field "{draft.picture_field}": {error}')
            return
        try:
            mask = self._runs(draft.mask, size)
        except ValueError as error:
            self._drafts.problem(draft.place, f'field "mask" {error}')
            return
        if "editing_type_id" not in draft.fields:
            self.lacking["editing_type_id"] += 1
        self.annotations[draft.id] = {
            "image_path": self._copy(picture, draft),
            **_UNKNOWN,
            **draft.fields,
            "mask": mask,
        }

    def _found(self, path: str) -> Path:
        """The file that a path means, which may start further up or, by its first folders, elsewhere."""
        plain = path if "/" in path else path.replace("\\", "/")
        if not plain or "\0" in plain:
            raise ValueError(f"{shown(repr(path))} names no file; write the path of a picture")
        parts = PurePosixPath(plain).parts
        tails = [PurePosixPath(*parts[first:]) for first in range(max(1, len(parts) - 1))]
        try:
            for tail in tails:
                for base in [*self._own, *(self._above if tail == tails[0] else [])]:
                    if (base / tail).is_file():
                        return base / tail
            for base in self._own:
                if len(found := self._others.files(base, plain)) == 1:
                    return found[0]
        except OSError as error:
            raise ValueError(f"{shown(repr(path))} cannot be followed ({error.strerror})") from None
        raise ValueError(
            f"{shown(repr(path))} is not there, seen from {self._own[0]}; give the folder that the paths "
            "start from: --images FOLDER"
        )

    def _size(self, picture: Path) -> Size:
        if picture not in self._sizes:
            try:
                height, width, _ = decode_picture(picture).shape
            except PictureError as error:
                raise ValueError(f"{picture}: {error}") from None
            self._sizes[picture] = (width, height)
        return self._sizes[picture]

    def _runs(self, mask: Any, size: Size) -> list[int]:
        """A mask in any of its forms, as the official format has it."""
        if mask is None:
            self.lacking["mask"] += 1
            return []
        if isinstance(mask, dict):
            runs, whole = coco_runs(mask, size)
            self.lacking.update([] if whole else ["short"])
            return runs
        if isinstance(mask, str):
            file = self._found(mask)
            try:
                marked = read_mask(file)
            except PictureError as error:
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

    def _copy(self, picture: Path, draft: Draft) -> str:
        """Copy a picture, once, and give its path below the pictures' folder."""
        if picture not in self._copied:
            parts = PurePosixPath(draft.picture.replace("\\", "/")).parts
            if IMAGES_FOLDER in parts:
                parts = parts[parts.index(IMAGES_FOLDER) + 1 :]
            path = PurePosixPath(*parts) if parts else PurePosixPath(picture.name)
            if path.is_absolute() or ".." in path.parts:
                path = PurePosixPath(picture.name)
            number = 1
            while str(path) in self._copied.values():
                path = PurePosixPath(f"{draft.id}{'' if number == 1 else -number}{picture.suffix}")
                number += 1
            file = self._folder / IMAGES_FOLDER / path
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, file)
            self._copied[picture] = str(path)
        return self._copied[picture]

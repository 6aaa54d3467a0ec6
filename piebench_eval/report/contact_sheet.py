"""Contact sheets: one image with a row per sample and a column per combination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from piebench_eval.combination_names import combination_name
from piebench_eval.data.images import WHOLE_IMAGE, distinct_loaders, load_image
from piebench_eval.data.sample import TYPE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.data.sample import Sample
    from piebench_eval.runs.store.folder import RunStore

_GAP, _LINE, _FONT_SIZE = 6, 16, 12
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


@dataclass(frozen=True)
class SheetRow:
    """A sample's row.

    Attributes:
        sample: the sample.
        pictures: a file per column, or None.
    """

    sample: Sample
    pictures: Sequence[Path | None]


def run_sheet(store: RunStore, samples: Sequence[Sample], ideals: Path, side: int = 128) -> Image.Image:
    """Show a run's edits between their source images and ideal edits.

    Sources are shown as they were loaded; there is a column per image loader if their views differ.

    Args:
        store: the run.
        samples: the samples to show.
        ideals: folder of the ideal edits, named as the sources are.
        side: longer side of a picture on the sheet, in pixels.
    """
    recipe = store.recipe
    combinations = recipe.pairs
    loaders = (recipe.image_loader(*pair) for pair in combinations)
    views = distinct_loaders(loaders, (sample.file for sample in samples))
    rows = []
    for sample in samples:
        edits = [store.image_file(*combination, sample) for combination in combinations]
        files = [*[sample.file] * len(views), *edits, ideals / sample.image_path]
        rows.append(SheetRow(sample, [file if file.is_file() else None for file in files]))
    sources = [f"source ({view})" for view in views] if len(views) > 1 else ["source"]
    titles = [*sources, *(combination_name(*combination) for combination in combinations), "ideal"]
    return contact_sheet(titles, rows, side, views)


def contact_sheet(
    titles: Sequence[str], rows: Sequence[SheetRow], side: int = 128, loaders: Sequence[ImageLoader] = ()
) -> Image.Image:
    """Arrange images in a grid, each row below its editing type and prompts.

    Args:
        titles: a heading per column; one that is wider than its column goes on below, behind its plus sign.
        rows: the rows.
        side: longer side of a picture on the sheet, in pixels.
        loaders: image loaders of the first columns; the others are shown whole.
    """
    loaders = [*loaders, *[WHOLE_IMAGE] * (len(titles) - len(loaders))]
    font = ImageFont.load_default(_FONT_SIZE)
    texts = [_lines(row.sample) for row in rows]
    headings = [_heading(title, side, font) for title in titles]
    header = max(len(heading) for heading in headings) * _LINE + _GAP
    widest = max((font.getlength(line) for lines in texts for line in lines), default=0)
    width = int(max(len(titles) * (side + _GAP), widest + _GAP)) + _GAP
    row_height = 2 * _LINE + side + _GAP
    sheet = Image.new("RGB", (width, header + len(rows) * row_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    lefts = [_GAP + column * (side + _GAP) for column in range(len(titles))]
    for left, heading in zip(lefts, headings, strict=True):
        for number, line in enumerate(heading):
            pen.text((left, _GAP // 2 + number * _LINE), line, _INK, font)
    for index, (row, lines) in enumerate(zip(rows, texts, strict=True)):
        top = header + index * row_height
        for number, line in enumerate(lines):
            pen.text((_GAP, top + number * _LINE), line, _INK, font)
        for left, file, loader in zip(lefts, row.pictures, loaders, strict=True):
            if file is not None:
                sheet.paste(_enlarged(file, side, loader), (left, top + 2 * _LINE))
    return sheet


def _heading(title: str, side: int, font: Any) -> list[str]:
    """The lines of a column's heading."""
    first, plus, rest = title.partition("+")
    return [first + plus, rest] if rest and font.getlength(title) > side else [title]


def _lines(sample: Sample) -> tuple[str, str]:
    kind = TYPE_NAMES.get(sample.type_id, sample.type_id)
    return f"{kind}: {sample.marked_source_prompt}", f"-> {sample.marked_target_prompt}"


def _enlarged(file: Path, side: int, loader: ImageLoader) -> Image.Image:
    picture = Image.fromarray(load_image(file, loader=loader))
    longer = max(picture.size)
    width, height = (max(1, side * length // longer) for length in picture.size)
    # Nearest neighbour keeps small images sharp: a blur would look like a blur of the edit.
    small = longer <= side
    return picture.resize((width, height), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)

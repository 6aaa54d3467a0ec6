"""Take in a picture that somebody uploads: upright, without alpha, of a bearable size, or refused."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

from piebench_eval.data.images import FORMATS, ImageError, decode_image
from piebench_eval.errors import PiebenchError
from piebench_eval.warning_filters import ignored_warnings

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_MEGAPIXELS = 40
"""Of an uploaded picture: a square of it is edited at the model's resolution, which is smaller by far."""


@dataclass(frozen=True)
class TakenIn:
    """A picture that can be edited.

    Attributes:
        picture: ``[height, width, 3]``, upright.
        notes: what was done to it.
    """

    picture: NDArray[np.uint8]
    notes: list[str] = field(default_factory=list)


def take_in(file: Path | IO[bytes]) -> TakenIn:
    """Read an uploaded picture: turn it upright by its EXIF orientation, and put transparency onto white.

    Args:
        file: a file, or a stream at its beginning.

    Raises:
        PiebenchError: it is no picture, is damaged, or has more than ``MAX_MEGAPIXELS``; the message says
            so without the name of the file, which is the server's own.
    """
    notes = []
    try:
        with ignored_warnings(), Image.open(file, formats=FORMATS) as image:
            _require_size(image)
            if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                notes.append("The picture was turned upright, as its EXIF orientation says.")
            flat = _first_of_several(image) or _on_white(image)
        if flat is None and not isinstance(file, Path):
            file.seek(0)
        picture, done = (file, []) if flat is None else flat
        return TakenIn(decode_image(picture), [*notes, *done])
    except ImageError as error:
        raise PiebenchError(f"This picture {error}") from None
    except Image.DecompressionBombError:
        raise PiebenchError(
            f"This picture has more than {MAX_MEGAPIXELS} megapixels; make it smaller"
        ) from None
    except PiebenchError:
        raise
    except Exception:  # a damaged file makes Pillow raise almost anything
        raise PiebenchError(
            "This file is no picture that can be read; use a whole "
            f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
        ) from None


def _require_size(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_MEGAPIXELS * 1_000_000:
        raise PiebenchError(
            f"This picture is {image.width}x{image.height}, {pixels / 1e6:.0f} megapixels; make it smaller "
            f"than {MAX_MEGAPIXELS} megapixels"
        )


def _first_of_several(image: Image.Image) -> tuple[io.BytesIO, list[str]] | None:
    """The photo of a phone's file that holds a smaller one too, or a map of its lights; None of others."""
    if image.format != "MPO":
        return None
    return _as_png(image.convert("RGB"), image), ["The first picture of this file was taken."]


def _on_white(image: Image.Image) -> tuple[io.BytesIO, list[str]] | None:
    """A picture with transparency on white; None without any, or if it has frames."""
    if getattr(image, "n_frames", 1) > 1 or not image.has_transparency_data or image.mode.startswith("I"):
        return None
    layers = image.convert("RGBA")
    if np.array(layers)[:, :, 3].min() == 255:
        return None
    white = Image.new("RGBA", layers.size, "white")
    white.alpha_composite(layers)
    return _as_png(white.convert("RGB"), image), ["Its transparent parts were put onto white."]


def _as_png(pixels: Image.Image, image: Image.Image) -> io.BytesIO:
    """Pixels of a picture as a PNG with the picture's EXIF."""
    kept = io.BytesIO()
    pixels.save(kept, "PNG", exif=image.getexif())
    kept.seek(0)
    return kept

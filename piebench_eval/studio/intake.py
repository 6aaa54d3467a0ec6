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
            flat = _on_white(image)
        if flat is None:
            if not isinstance(file, Path):
                file.seek(0)
            return TakenIn(decode_image(file), notes)
        return TakenIn(decode_image(flat), [*notes, "Its transparent parts were put onto white."])
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


def _on_white(image: Image.Image) -> io.BytesIO | None:
    """A picture with transparency as a PNG on white, its EXIF kept; None without any, or if it has frames."""
    if getattr(image, "n_frames", 1) > 1 or not image.has_transparency_data or image.mode.startswith("I"):
        return None
    layers = image.convert("RGBA")
    if np.array(layers)[:, :, 3].min() == 255:
        return None
    white = Image.new("RGBA", layers.size, "white")
    kept = io.BytesIO()
    Image.alpha_composite(white, layers).convert("RGB").save(kept, "PNG", exif=image.getexif())
    kept.seek(0)
    return kept

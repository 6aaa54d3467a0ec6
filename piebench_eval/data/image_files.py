"""Reading picture files that nobody vouches for: as RGB, or with a reason why not."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

from piebench_eval.data.names import shown
from piebench_eval.errors import PiebenchError
from piebench_eval.warning_filters import ignored_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 64_000_000
"""Beyond any benchmark's pictures; a small file that claims more is made to exhaust the memory."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its orientation tag; 5 to 8 exchange width and height."""

_REPLACE = f"replace it with a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
_COLOUR_KEYS_KNOWN = ("1", "L", "RGB")
"""Stored forms of which Pillow gives a transparent colour in the units of the decoded pixels."""


class PictureError(ValueError):
    """What is wrong with a picture, and the remedy; whoever knows the picture's name puts it in front."""


def read_picture(file: Path) -> NDArray[np.uint8]:
    """Read a picture as RGB.

    Grey, palette, CMYK and 16-bit grey pictures become RGB as they look, and a camera's orientation tag is
    followed; pictures that have no one such look (transparent, animated, floating point) are refused.

    Returns:
        Array of shape ``[height, width, 3]``, 0 to 255.

    Raises:
        PiebenchError: the file is missing, damaged, too large or of another kind.
    """
    try:
        return decode_picture(file)
    except PictureError as error:
        raise PiebenchError(f"{file}: {error}") from None


def picture_size(file: Path) -> tuple[int, int]:
    """Read a picture's width and height in pixels, as it is seen, from its header.

    Raises:
        PiebenchError: the file is missing, too large or of another kind.
    """
    try:
        with _opened(file) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except PictureError as error:
        raise PiebenchError(f"{file}: {error}") from None


def decode_picture(source: Path | IO[bytes]) -> NDArray[np.uint8]:
    """Read a picture as ``read_picture`` does, from a file or a stream.

    Raises:
        PictureError: it cannot be read as RGB.
    """
    with _opened(source) as image:
        # A JPEG with a second frame (a preview, a depth map) is a picture with an attachment.
        if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:
            raise PictureError(f"holds {frames} pictures (an animation, or pages); save one of them alone")
        turn = _TURNS.get(_orientation(image))
        pixels = _as_rgb(image)
    return pixels if turn is None else np.array(Image.fromarray(pixels).transpose(turn))


def _orientation(image: Image.Image) -> int:
    """The orientation tag of an open picture, 1 to 8; 1 stands for upright."""
    if image.format == "TIFF":
        return 1  # Pillow follows it
    # PNG's own method decodes the whole picture to look behind the pixels.
    try:
        tag = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged tags say nothing; Pillow raises almost anything of them
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong, then or in the body, becomes a PictureError."""
    if isinstance(source, Path) and not source.is_file():
        raise PictureError("there is no such file; restore it")
    try:
        with ignored_warnings(), Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(f"claims more than {MAX_PIXELS // 1_000_000} megapixels; {_REPLACE}") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"is no picture of a known kind; {_REPLACE}") from None
    except Exception as error:  # a damaged file makes Pillow raise almost anything, SyntaxError included
        reason = shown(str(error)) if str(error) else type(error).__name__
        raise PictureError(f"the picture cannot be read ({reason}); {_REPLACE}") from None


def _as_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "F":
        raise PictureError("holds floating point numbers, whose white is unknown; save it with 8 bits")
    if _is_transparent(image):
        raise PictureError("has transparent pixels; flatten it onto a background")
    if image.mode.startswith("I"):
        grey = _to_8_bits(np.array(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _to_8_bits(grey: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Scale ``[height, width]`` from 0..65535 to 0..255, to the nearest; Pillow would cut at 255."""
    if grey.min() < 0 or grey.max() > 65535:
        raise PictureError("holds grey levels beyond 16 bits, whose white is unknown; save it with 8 bits")
    return ((grey.astype(np.int64) + 128) // 257).astype(np.uint8)


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel lets a background through."""
    if not image.has_transparency_data:
        return False
    if image.mode.startswith("I"):
        return bool((np.array(image) == image.info["transparency"]).any())
    if image.mode in ("1", "L", "RGB") and _stored_form(image) not in _COLOUR_KEYS_KNOWN:
        return True
    return bool(np.array(image.convert("RGBA"))[:, :, 3].min() < 255)


def _stored_form(image: Image.Image) -> str:
    """Pillow's name for how the pixels lie in the file; known only until they are loaded."""
    tiles = getattr(image, "tile", ())
    form = tiles[0].args if tiles else image.mode
    return form if isinstance(form, str) else form[0]

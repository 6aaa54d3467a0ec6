"""Read image files as RGB, and bring them to the model's resolution."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import ExifTags, Image

from piebench_eval.data.messages import printable
from piebench_eval.errors import PiebenchError
from piebench_eval.warning_filters import ignored_warnings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 64_000_000
"""No benchmark has larger images; a small file that claims more would exhaust the memory."""

Size = tuple[int, int]
"""Width and height in pixels."""

ImageLoader = Literal[
    "crop", "stretch", "shorter_side", "resize", "resize_bilinear", "resize_lanczos", "crop_to_multiple"
]
"""How an image is brought to a resolution; all of them agree on square images that have it already."""

OutputFilter = Literal["lanczos", "bicubic", "bilinear", "box", "nearest"]
"""PIL's filters that bring a finished picture to another size."""

KEEPS_SIZE: ImageLoader = "crop_to_multiple"
"""The loader that resizes nothing, and therefore takes no resolution."""

_FILTERS: dict[ImageLoader, Image.Resampling] = {
    "shorter_side": Image.Resampling.BILINEAR,
    "resize_bilinear": Image.Resampling.BILINEAR,
    "resize_lanczos": Image.Resampling.LANCZOS,
}
"""Filters of loaders that do not have PIL's default, which is bicubic."""

WHOLE_IMAGE: ImageLoader = "shorter_side"
"""The loader that leaves an image as it is if no resolution is given."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that turns an image upright, by EXIF orientation; 5 to 8 exchange width and height."""

_REPLACE = f"replace it with a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
_RAW_MODES_WITH_COLOR_KEY = ("1", "L", "RGB")
"""Raw modes whose transparent colour Pillow gives in the units of the decoded pixels."""


class ImageError(ValueError):
    """What is wrong with an image, and the remedy; callers add the file's name."""


def read_image(file: Path) -> NDArray[np.uint8]:
    """Read an image as RGB.

    Grey, palette, CMYK and 16-bit grey images are converted to RGB, and the EXIF orientation is applied.
    Images without a unique RGB form (transparent, animated, floating point) are refused.

    Returns:
        Array of shape ``[height, width, 3]``, 0 to 255.

    Raises:
        PiebenchError: the file is missing, damaged, too large or of an unsupported kind.
    """
    try:
        return decode_image(file)
    except ImageError as error:
        raise PiebenchError(f"{file}: {error}") from None


def image_size(file: Path) -> Size:
    """Read an image's width and height in pixels from its header, after EXIF orientation.

    Raises:
        PiebenchError: the file is missing, too large or of an unsupported kind.
    """
    try:
        with _opened(file) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except ImageError as error:
        raise PiebenchError(f"{file}: {error}") from None


def size_text(size: Size) -> str:
    """Write a size as ``WIDTHxHEIGHT``."""
    return f"{size[0]}x{size[1]}"


def decode_image(source: Path | IO[bytes]) -> NDArray[np.uint8]:
    """Read an image as ``read_image`` does, from a file or a stream.

    Raises:
        ImageError: it cannot be read as RGB.
    """
    with _opened(source) as image:
        # A JPEG with a second frame (a preview, a depth map) is one image with an attachment.
        if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:
            raise ImageError(f"holds {frames} pictures (an animation, or pages); save one of them alone")
        transpose = _TRANSPOSE.get(_orientation(image))
        pixels = _to_rgb(image)
    return pixels if transpose is None else np.array(Image.fromarray(pixels).transpose(transpose))


def load_image(
    file: Path,
    resolution: int | None = None,
    loader: ImageLoader = "crop",
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
    multiple: int = 1,
) -> NDArray[np.uint8]:
    """Read an image as RGB at a resolution.

    Args:
        file: the image file.
        resolution: length in pixels of the result's shorter side; None keeps that of the image.
        loader: ``crop`` crops the central square and resizes it with PIL's default filter; ``stretch``
            samples the nearest pixels of the whole image on a square grid; ``shorter_side`` resizes the whole
            image bilinearly until its shorter side fits; ``resize`` resizes the whole image to a square with
            PIL's default filter (bicubic), aspect ratio lost, as TurboEdit does (Deutch et al., SIGGRAPH Asia
            2024); ``resize_bilinear`` does so with PIL's bilinear filter, as FlowAlign does (Kim et al.,
            2025), and ``resize_lanczos`` with Lanczos', as RF-Inversion and diffusers' image processors do
            (Rout et al., ICLR 2025); ``crop_to_multiple`` leaves the image in its own size, whatever the
            resolution, and cuts it at the bottom and at the right to multiples of ``multiple``, as FlowEdit
            does (Kulikov et al., ICCV 2025).
        read: returns the pixels of a file, ``[height, width, 3]``.
        multiple: what the sides are cut to multiples of by ``crop_to_multiple``; 1 cuts nothing.

    Returns:
        Array of shape ``[height, width, 3]``.

    Raises:
        PiebenchError: the image is missing, damaged or has no unique RGB form.
    """
    return resize(Image.fromarray(read(file)), resolution, loader, _FILTERS.get(loader), multiple)


def loaded_size(size: Size, loader: ImageLoader, resolution: int | None = None, multiple: int = 1) -> Size:
    """Width and height of an image after ``load_image``, from its own width and height.

    >>> loaded_size((640, 480), "crop", 512), loaded_size((640, 480), "shorter_side", 512)
    ((512, 512), (682, 512))
    >>> loaded_size((500, 333), "crop_to_multiple", multiple=16)
    (496, 320)
    """
    if loader == KEEPS_SIZE:
        return size[0] // multiple * multiple, size[1] // multiple * multiple
    shorter = min(size)
    resolution = resolution or shorter
    if loader != "shorter_side":
        return resolution, resolution
    width, height = size
    return resolution * width // shorter, resolution * height // shorter


def distinct_loaders(loaders: Iterable[ImageLoader], files: Iterable[Path]) -> list[ImageLoader]:
    """The loaders that give different results for some image; one if all images are square.

    Args:
        loaders: the loaders.
        files: the images.

    Raises:
        PiebenchError: an image is missing or damaged.
    """
    distinct = list(dict.fromkeys(loaders))
    if len(distinct) < 2:
        return distinct
    sizes = map(image_size, files)
    return distinct[:1] if all(width == height for width, height in sizes) else distinct


def resize(
    image: Image.Image,
    resolution: int | None,
    loader: ImageLoader,
    resample: Image.Resampling | None,
    multiple: int = 1,
) -> NDArray[Any]:
    """Bring an image or a mask to a resolution; see ``load_image``. ``stretch`` ignores the filter."""
    size = loaded_size(image.size, loader, resolution, multiple)
    if loader == KEEPS_SIZE:
        return np.array(image)[: size[1], : size[0]]
    if loader == "crop":
        image = center_crop(image)
    if image.size == size:
        return np.array(image)
    if loader == "stretch":
        rows, columns = (
            np.arange(target) * side // target
            for target, side in zip(size[::-1], (image.height, image.width), strict=True)
        )
        return np.array(image)[rows[:, None], columns]
    return np.array(image.resize(size, resample))


def resample(
    image: NDArray[np.uint8], size: Size, output_filter: OutputFilter = "lanczos"
) -> NDArray[np.uint8]:
    """Bring a finished picture to another size.

    Args:
        image: ``[height, width, 3]``.
        size: width and height of the result.
        output_filter: PIL's filter. Lanczos' is the default of diffusers' pipelines: like bicubic's it is
            antialiased in PIL, so that fine structure does not become noise, and it keeps more of the detail.

    Returns:
        The picture in this size; the given one if it has it.
    """
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling[output_filter.upper()]))


def center_crop(image: Image.Image) -> Image.Image:
    """Crop the largest central square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def encode_image(image: NDArray[np.uint8], image_format: str = "png") -> bytes:
    """Encode an image ``[height, width, 3]`` as ``png`` or ``jpeg:QUALITY``."""
    buffer = io.BytesIO()
    if image_format == "png":
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=int(image_format.partition(":")[2]))
    return buffer.getvalue()


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation of an open image, 1 (upright) to 8."""
    if image.format == "TIFF":
        return 1  # Pillow applies it
    # PNG's own method decodes the whole image to find tags behind the pixels.
    try:
        tag = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises almost anything on damaged tags
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[Image.Image]:
    """Open an image; any error on opening or in the body becomes an ImageError."""
    if isinstance(source, Path) and not source.is_file():
        raise ImageError("there is no such file; restore it")
    try:
        with ignored_warnings(), Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"claims more than {MAX_PIXELS // 1_000_000} megapixels; {_REPLACE}") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"is no picture of a known kind; {_REPLACE}") from None
    except Exception as error:  # a damaged file makes Pillow raise almost anything, SyntaxError included
        reason = printable(str(error)) if str(error) else type(error).__name__
        raise ImageError(f"the picture cannot be read ({reason}); {_REPLACE}") from None


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "F":
        raise ImageError("holds floating point numbers, whose white is unknown; save it with 8 bits")
    if _is_transparent(image):
        raise ImageError("has transparent pixels; flatten it onto a background")
    if image.mode.startswith("I"):
        grey = _to_8_bits(np.array(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _to_8_bits(grey: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Scale ``[height, width]`` from 0..65535 to 0..255, rounded; Pillow would clip at 255."""
    if grey.min() < 0 or grey.max() > 65535:
        raise ImageError("holds grey levels beyond 16 bits, whose white is unknown; save it with 8 bits")
    return ((grey.astype(np.int64) + 128) // 257).astype(np.uint8)


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is transparent or translucent."""
    if not image.has_transparency_data:
        return False
    if image.mode.startswith("I"):
        return bool((np.array(image) == image.info["transparency"]).any())
    if image.mode in ("1", "L", "RGB") and _raw_mode(image) not in _RAW_MODES_WITH_COLOR_KEY:
        return True
    return bool(np.array(image.convert("RGBA"))[:, :, 3].min() < 255)


def _raw_mode(image: Image.Image) -> str:
    """Pillow's name for the pixel layout in the file; known only until the pixels are loaded."""
    tiles = getattr(image, "tile", ())
    mode = tiles[0].args if tiles else image.mode
    return mode if isinstance(mode, str) else mode[0]

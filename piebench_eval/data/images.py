"""Reading pictures and masks at the model's resolution, and encoding edits."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from piebench_eval.data.image_files import picture_size, read_picture
from piebench_eval.data.rle import BoolMask, decode_rle, set_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample


ImageLoader = Literal["crop", "stretch", "shorter_side"]
"""How a picture is brought to a resolution; all three are one where pictures have it already."""


def load_image(
    file: Path,
    resolution: int | None = None,
    loader: ImageLoader = "crop",
    read: Callable[[Path], NDArray[np.uint8]] = read_picture,
) -> NDArray[np.uint8]:
    """Read a picture as RGB at a resolution.

    Args:
        file: the picture.
        resolution: length in pixels of the result's shorter side; None for that of the picture itself.
        loader: ``crop`` cuts the central square out and resizes it with PIL's default filter; ``stretch``
            takes the nearest pixels of the whole picture and makes them a square; ``shorter_side`` resizes
            the whole picture bilinearly until its shorter side fits, and is the only one whose result need
            not be square.

        read: where its pixels come from; its file by default.

    Returns:
        Array of shape ``[height, width, 3]``.

    Raises:
        PiebenchError: the picture is missing, damaged or of a kind that has no one look as RGB.
    """
    size_filter = Image.Resampling.BILINEAR if loader == "shorter_side" else None
    return _brought(Image.fromarray(read(file)), resolution, loader, size_filter)


def load_mask(
    sample: Sample, resolution: int | None = None, frame: bool = True, loader: ImageLoader = "crop"
) -> BoolMask:
    """Decode a sample's mask and bring it to a resolution as its picture is, by the nearest pixels.

    Args:
        sample: whose mask.
        resolution: see ``load_image``.
        frame: whether the outermost frame is set, as the protocol has it.
        loader: how the picture is brought to the resolution.

    Returns:
        Mask ``[height, width]`` of the loaded picture, True where it should be edited.

    Raises:
        PiebenchError: the picture, whose size the mask has, is missing or damaged.
    """
    width, height = picture_size(sample.file)
    stored = Image.fromarray(decode_rle(sample.mask_rle, height, width, frame=False))
    mask = _brought(stored, resolution, loader, Image.Resampling.NEAREST)
    return set_frame(mask) if frame else mask


def loaded_size(size: tuple[int, int], loader: ImageLoader, resolution: int | None = None) -> tuple[int, int]:
    """Width and height that a loader makes of a picture's; see ``load_image``.

    >>> loaded_size((640, 480), "crop", 512), loaded_size((640, 480), "shorter_side", 512)
    ((512, 512), (682, 512))
    """
    shorter = min(size)
    resolution = resolution or shorter
    if loader != "shorter_side":
        return resolution, resolution
    width, height = size
    return resolution * width // shorter, resolution * height // shorter


def _brought(
    image: Image.Image, resolution: int | None, loader: ImageLoader, size_filter: Image.Resampling | None
) -> NDArray[Any]:
    """Bring a picture or a mask to a resolution; ``stretch`` has no use for the filter."""
    size = loaded_size(image.size, loader, resolution)
    if loader == "crop":
        image = centre_square(image)
    if image.size == size:
        return np.array(image)
    if loader == "stretch":
        rows, columns = (
            np.arange(target) * side // target
            for target, side in zip(size[::-1], (image.height, image.width), strict=True)
        )
        return np.array(image)[rows[:, None], columns]
    return np.array(image.resize(size, size_filter))


def centre_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle of a picture."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def encode_image(image: NDArray[np.uint8], image_format: str = "png") -> bytes:
    """Encode a picture ``[height, width, 3]`` as ``png`` or ``jpeg:QUALITY``."""
    buffer = io.BytesIO()
    if image_format == "png":
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=int(image_format.partition(":")[2]))
    return buffer.getvalue()

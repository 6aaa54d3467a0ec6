"""Bring an edit that was saved in another size to the size that it is scored in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.data.images import resample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.images import Size
    from piebench_eval.metrics.protocol import ResizeFilter


def resized(image: NDArray[np.uint8], size: Size, resize_filter: ResizeFilter) -> NDArray[np.uint8]:
    """Resize an image.

    PIL's filters are antialiased where they make an image smaller, but for ``nearest``.

    Args:
        image: ``[height, width, 3]``.
        size: width and height of the result.
        resize_filter: a filter of PIL; or ``tensor_bicubic``, that of torch's ``interpolate`` and of OpenCV's
            ``INTER_CUBIC``, which is not antialiased.

    Returns:
        The image in this size; the given one if it has it.
    """
    if resize_filter == "tensor_bicubic":
        return image if (image.shape[1], image.shape[0]) == size else _as_tensor(image, size)
    return resample(image, size, resize_filter)


def _as_tensor(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    import torch
    from torch.nn import functional

    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    found = functional.interpolate(pixels, size=(size[1], size[0]), mode="bicubic")
    return found[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()

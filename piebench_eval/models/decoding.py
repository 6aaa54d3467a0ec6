"""Decode latents, in smaller batches and then in tiles when memory runs out, and copy images to the host."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from piebench_eval.errors import PiebenchWarning
from piebench_eval.models.device_errors import is_out_of_memory, release_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from piebench_eval.pictures import GreyLevels, PixelOverflow

GPU_BATCH = 4
"""Number of images that a GPU decodes together."""

_SMALLEST_RANGE = 1e-5
"""What an image of one colour is divided by, as torchvision's ``save_image`` does."""

_OVERLAPPING_TILES = 2
"""Tiles along a side, when an image does not fit as a whole."""


def warn(text: str) -> None:
    """Issue a ``PiebenchWarning``."""
    warnings.warn(text, PiebenchWarning, stacklevel=3)


def decode_with_fallback(
    vae: Any, latents: torch.Tensor, batch: int, notify: Callable[[str], None] = warn
) -> torch.Tensor:
    """Decode latents; when memory runs out, halve the batch, and decode a single image in tiles.

    Args:
        vae: ``AutoencoderKL``.
        latents: ``[images, 4, h, w]``, in the autoencoder's scale.
        batch: images at a time, at most.
        notify: called with a note for the user.

    Returns:
        Pixels ``[images, 3, height, width]``, about -1 to 1.
    """
    decoded = []
    for part in latents.split(batch):
        try:
            decoded.append(vae.decode(part).sample)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            decoded.append(None)
        if decoded[-1] is None:  # outside of the handler, whose traceback keeps the failed call's tensors
            release_memory()
            halved = len(part) // 2
            decoded[-1] = (
                decode_with_fallback(vae, part, halved, notify) if halved else _in_tiles(vae, part, notify)
            )
    return torch.cat(decoded)


def grey_levels(
    pixels: torch.Tensor, overflow: PixelOverflow = "clamp", whole: GreyLevels = "truncate"
) -> torch.Tensor:
    """Whole grey levels of decoded pixels.

    Args:
        pixels: ``[images, 3, height, width]``, about -1 to 1.
        overflow: grey levels outside 0..255 become the nearest of them (``clamp``), or the remainder modulo
            256 (``wrap``); or each image's lowest pixel becomes 0, and its highest 255 (``min_max``).
        whole: levels are truncated, as Stable Diffusion 1.x's reference scripts do, or rounded: half to even,
            as diffusers does, and with ``min_max`` half up, as torchvision's ``save_image``.

    Returns:
        ``[images, 3, height, width]``, uint8.
    """
    if overflow == "min_max":
        lowest, highest = pixels.amin(dim=(1, 2, 3), keepdim=True), pixels.amax(dim=(1, 2, 3), keepdim=True)
        levels = (pixels - lowest) / (highest - lowest).clamp(min=_SMALLEST_RANGE) * 255
    else:
        levels = (pixels / 2 + 0.5) * 255
    if overflow == "clamp":
        levels = levels.clamp(0, 255)
    if whole == "round":
        levels = (levels + 0.5).floor() if overflow == "min_max" else levels.round()
    # By way of whole numbers: what a negative float is as uint8 depends on the processor.
    return levels.long().bitwise_and(255).byte()


def _in_tiles(vae: Any, latent: torch.Tensor, notify: Callable[[str], None]) -> torch.Tensor:
    """Decode overlapping tiles; each has its own group-norm statistics, so pixels differ a little."""
    notify(
        "memory is short, so an image was decoded in tiles: its pixels differ a little from a whole decoding"
    )
    before = vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size
    side = max(latent.shape[-2:]) // _OVERLAPPING_TILES
    factor = vae.tile_sample_min_size // vae.tile_latent_min_size
    vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = True, side, side * factor
    try:
        pixels: torch.Tensor = vae.decode(latent).sample
    finally:
        vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = before
    return pixels


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor to the host; from a GPU into pinned memory, which it writes to directly."""
    if tensor.device.type != "cuda":
        return tensor.cpu().contiguous()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return pinned

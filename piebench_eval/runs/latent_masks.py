"""The benchmark's masks on the grid of the latents, for editors that look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from piebench_eval.data.masks import load_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.data.sample import Sample


def latent_masks(
    samples: Sequence[Sample],
    latents: torch.Tensor,
    resolution: int,
    loader: ImageLoader,
    multiple: int,
) -> torch.Tensor:
    """Bring masks to the pixels of their pictures, and from there to the nearest latents.

    The benchmark's frame of one pixel is left out: it lies between the latents' centres.

    Args:
        samples: whose masks.
        latents: the encoded pictures ``[samples, channels, h, w]``.
        resolution: see ``load_image``.
        loader: how the pictures were brought to the resolution.
        multiple: see ``load_image``.

    Returns:
        ``[samples, 1, h, w]`` like the latents, 1 where the picture is edited and 0 elsewhere.

    Raises:
        PiebenchError: a picture, which gives the mask's size, is missing or damaged.
    """
    height, width = latents.shape[-2:]
    masks = [load_mask(sample, resolution, loader, multiple=multiple) for sample in samples]
    small = [
        np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)) for mask in masks
    ]
    return torch.from_numpy(np.stack(small)).unsqueeze(1).to(latents)

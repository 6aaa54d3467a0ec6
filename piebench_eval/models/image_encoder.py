"""CLIP's image encoder, of which an inversion reads a picture's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from piebench_eval.errors import PiebenchError
from piebench_eval.models.hf_loading import load_network
from piebench_eval.models.image_encoder_files import OPTION, WANTED, check_image_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ImageEncoder:
    """CLIP's vision transformer (Radford et al., ICML 2021), always in float32.

    Attributes:
        name: the directory or hub id that it comes from.
        network: ``CLIPVisionModel``.
        device: where it lies.
    """

    name: str
    network: Any
    device: torch.device

    @property
    def width(self) -> int:
        """Width of its tokens."""
        return int(self.network.config.hidden_size)

    def require_width(self, width: int) -> None:
        """Check that its tokens are as wide as those of a model's text.

        Raises:
            PiebenchError: they are not.
        """
        if self.width != width:
            raise PiebenchError(
                f"{OPTION}={self.name}: its tokens are {self.width} wide, those of the model's text {width}; "
                "give a CLIP whose image encoder is as wide (ViT-B for Stable Diffusion 1.x)"
            )

    @torch.no_grad()
    def tokens(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """All tokens of the last layer, the class token first, after the final layer norm.

        Args:
            pictures: each ``[height, width, 3]``.

        Returns:
            Tokens ``[pictures, tokens, width]``, float32.
        """
        layers = getattr(self.network, "vision_model", self.network)  # which transformers 5 has left out
        # One by one: a picture has the same tokens, to the last bit, whatever else is in the batch.
        return torch.cat(
            [
                layers.post_layernorm(self.network(pixel_values=self._pixels(picture)).last_hidden_state)
                for picture in pictures
            ]
        )

    def _pixels(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """A picture as CLIP was trained with, but resized as a tensor: without antialiasing or rounding."""
        side = int(self.network.config.image_size)
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        height, width = picture.shape[:2]
        shorter = min(height, width)
        size = [side * height // shorter, side * width // shorter]
        resized = functional.interpolate(pixels, size=size, mode="bicubic", antialias=False)
        top, left = (round((length - side) / 2) for length in size)
        mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
        return ((resized[:, :, top : top + side, left : left + side] - mean) / std).to(self.device)


def load_image_encoder(name: str, device: torch.device, allow_pickle: bool = False) -> ImageEncoder:
    """Load the image encoder of a CLIP.

    Args:
        name: transformers directory or hub id.
        device: where to put it.
        allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.

    Raises:
        PiebenchError: it cannot be loaded, or its weights are in pickle files.
    """
    from transformers import CLIPVisionModel

    check_image_encoder(name, allow_pickle)
    network = load_network(CLIPVisionModel, OPTION, name, WANTED, device, allow_pickle)
    return ImageEncoder(name, network, device)

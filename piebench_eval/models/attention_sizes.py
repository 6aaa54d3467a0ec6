"""The attention layers of a transformer, known from its configuration before any weight is read."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from piebench_eval.models.attention import attention_layers
from piebench_eval.models.location import ImageSizes, denoiser_config, image_sizes, known_family

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from piebench_eval.models.attention import AttentionLayer

_PUBLISHED: dict[str, dict[str, Any]] = {
    "flux": {"num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "attention_head_dim": 128},
    "sd3": {"num_layers": 24, "num_attention_heads": 24, "attention_head_dim": 64},
}
"""By family, the configuration of its published model: FLUX.1's, and Stable Diffusion 3 medium's."""

_PATCH = 2
"""Latents of a position's side, in both families."""

_PUBLISHED_SIZES = ImageSizes(native=1024, multiple=8 * _PATCH)

_CLIP_LENGTH = 77


@dataclass(frozen=True)
class AttentionSizes:
    """The sizes of a transformer with joint attention.

    Attributes:
        config: its configuration.
        images: the sizes of images that it works with; a position of its attention has ``multiple`` pixels.
        text: how many of the text's tokens are in a joint sequence.
    """

    config: Mapping[str, Any]
    images: ImageSizes
    text: int

    @property
    def width(self) -> int:
        """Numbers per position in a layer's queries, keys or values."""
        return int(self.config["num_attention_heads"] * self.config["attention_head_dim"])

    def layers(self, size: tuple[int, int]) -> list[AttentionLayer]:
        """The attention layers for images of a width and height in pixels, in order as they run."""
        width, height = (side // self.images.multiple * _PATCH for side in size)
        return list(attention_layers(self._as_loaded(), (height, width)).values())

    def positions(self, layer: AttentionLayer) -> int:
        """How many positions the sequence of a layer has."""
        return layer.grid[0] * layer.grid[1] + (self.text if layer.kind == "joint" else 0)

    def _as_loaded(self) -> Any:
        """As much of a loaded transformer as describing its layers asks for."""
        doubles, dual = range(self.config["num_layers"]), self.config.get("dual_attention_layers") or ()
        parts: dict[str, Any] = {"transformer_blocks": doubles}
        if "num_single_layers" in self.config:
            parts["single_transformer_blocks"] = range(self.config["num_single_layers"])
        names = [f"transformer_blocks.{block}.attn.processor" for block in doubles]
        names += [f"transformer_blocks.{block}.attn2.processor" for block in dual]
        return SimpleNamespace(config=SimpleNamespace(patch_size=_PATCH), attn_processors=names, **parts)

    def bytes_per_picture(
        self,
        size: tuple[int, int],
        keeps_layer: Callable[[AttentionLayer], bool],
        features: int,
        itemsize: int,
    ) -> int:
        """Bytes of what one evaluation's layers compute of a picture.

        Args:
            size: width and height of the picture in pixels.
            keeps_layer: whether a layer counts.
            features: how many of its queries, keys and values count.
            itemsize: bytes of a number.

        Of FLUX.1-dev, the values of single-stream blocks 20 to 37 in bfloat16, and of all of them:

        >>> flux = attention_sizes("black-forest-labs/FLUX.1-dev")
        >>> late = lambda layer: (layer.single or 0) >= 20
        >>> [flux.bytes_per_picture((side, side), late, 1, itemsize=2) for side in (512, 1024)]
        [169869312, 509607936]
        >>> every = lambda layer: layer.single is not None
        >>> [flux.bytes_per_picture((side, side), every, 1, itemsize=2) for side in (512, 1024)]
        [358612992, 1075838976]
        """
        kept = filter(keeps_layer, self.layers(size))
        return sum(map(self.positions, kept)) * self.width * features * itemsize


def attention_sizes(
    model: str,
    revision: str | None = None,
    family: str = "auto",
    clip_length: int | None = None,
    t5_length: int | None = None,
) -> AttentionSizes | None:
    """The sizes of a model's transformer: by its files, or the family's published ones if they are not here.

    Args:
        model: a diffusers directory, a hub id, or ``demo``.
        revision: branch, tag or commit on the hub.
        family: see ``find_family``.
        clip_length: how many of CLIP's tokens a prompt has; 77 if None.
        t5_length: how many of T5's; what the family says if None.

    Returns:
        The sizes; None for a UNet, and where the family is not known.
    """
    found = known_family(model, revision, family)
    if found is None or found.name not in _PUBLISHED:
        return None
    text = t5_length or found.t5_length
    if found.name == "sd3":  # FLUX.1 has one embedding of CLIP for the whole prompt
        text += clip_length or _CLIP_LENGTH
    config = {**_PUBLISHED[found.name], **(denoiser_config(model, revision, family) or {})}
    return AttentionSizes(config, image_sizes(model, revision, family) or _PUBLISHED_SIZES, text)

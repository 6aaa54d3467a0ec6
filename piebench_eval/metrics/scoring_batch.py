"""A batch of edited images with their sources and masks: the input of a metric."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from piebench_eval.data.masks import set_frame
from piebench_eval.data.prompts import strip_brackets
from piebench_eval.metrics.resizing import resized

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.images import Size
    from piebench_eval.data.masks import BoolMask
    from piebench_eval.data.sample import MaskRuns
    from piebench_eval.metrics.networks.metric_networks import MetricNetworks
    from piebench_eval.metrics.protocol import PictureRules, Protocol

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A source image with its mask, its prompts and, in a drawn benchmark, its ideal edit.

    Attributes:
        image: the source image ``[height, width, 3]``.
        mask: True where the image should be edited, ``[height, width]``; without the frame, which the
            protocol adds.
        source_prompt: prompt of the source image, with its brackets.
        target_prompt: prompt of the edited image, with its brackets.
        ideal: the ideal edit ``[height, width, 3]``, if the benchmark is drawn and a metric needs it.
        instruction: the edit as an instruction; may be empty.
        read_mask: the mask with its numbers taken for something else, as the protocol's ``mask.runs`` says;
            None where there are no numbers.
    """

    image: NDArray[np.uint8]
    mask: BoolMask
    source_prompt: str
    target_prompt: str
    ideal: NDArray[np.uint8] | None = None
    instruction: str = ""
    read_mask: Callable[[MaskRuns], BoolMask] | None = None


@dataclass(frozen=True, eq=False)
class ScoringBatch:
    """Edited images of one size with their sources, under a protocol.

    Intermediate results, such as embeddings, are kept in ``computed`` under the rules that they depend on:
    metrics and protocols that agree in those rules share them.

    Attributes:
        networks: the networks.
        protocol: the protocol.
        sources: the sources, each once.
        source_indices: for each edit the index of its source.
        saved_images: edits as they were saved, ``[height, width, 3]``: edits alone, or strips of panels.
        computed: intermediate results so far.
        sizes: width and height that each of them is brought to: the sources' size, or that of a strip of such
            panels; None if all have it.
    """

    networks: MetricNetworks
    protocol: Protocol
    sources: Sequence[SourceImage]
    source_indices: Sequence[int]
    saved_images: Sequence[NDArray[np.uint8]]
    computed: dict[Any, Any]
    sizes: Sequence[Size] | None = None

    def with_protocol(self, protocol: Protocol) -> ScoringBatch:
        """The same edits under another protocol, with the same intermediate results."""
        return replace(self, protocol=protocol)

    def cached(self, what: str, rules: Sequence[Hashable], compute: Callable[[], T]) -> T:
        """An intermediate result, computed at most once.

        Args:
            what: its name.
            rules: the sections or values of the protocol that it depends on.
            compute: computes it.
        """
        key = (what, *rules)
        if key not in self.computed:
            self.computed[key] = compute()
        return self.computed[key]

    def per_edit(self, of_sources: Sequence[T]) -> list[T]:
        """From a value per source, a value per edit."""
        return [of_sources[index] for index in self.source_indices]

    @property
    def source_images(self) -> list[NDArray[np.uint8]]:
        """Source images ``[height, width, 3]``, each once, with their channels in the protocol's order."""
        return [reorder_channels(source.image, self.channels) for source in self.sources]

    @property
    def channels(self) -> str:
        """Order of the channels, the one rule for edited images that also applies to sources."""
        return self.protocol.pictures.channels

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """Edited images ``[height, width, 3]``, by the protocol's rules for them."""

        def compute() -> list[NDArray[np.uint8]]:
            rules = self.protocol.pictures
            height, width, _ = self.sources[0].image.shape
            saved_images = self.saved_images
            if self.sizes is not None:
                saved_images = [
                    resized(saved, size, rules.resize)
                    for saved, size in zip(saved_images, self.sizes, strict=True)
                ]
            return [prepare_edit(saved, height, width, rules) for saved in saved_images]

        return self.cached("images", [self.protocol.pictures], compute)

    @property
    def annotated(self) -> list[BoolMask]:
        """For each source its mask without the frame, as the protocol reads it, ``[height, width]``."""
        runs = self.protocol.mask.runs
        return self.cached("annotated", [runs], lambda: [_mask_of(source, runs) for source in self.sources])

    @property
    def regions(self) -> list[BoolMask]:
        """For each source the pixels that should change, ``[height, width]``; here masks get their frame."""
        return self.cached(
            "regions", [self.protocol.mask], lambda: [self._region(mask) for mask in self.annotated]
        )

    @property
    def backgrounds(self) -> list[BoolMask]:
        """For each source the pixels that should not change, ``[height, width]``."""

        def compute() -> list[BoolMask]:
            rules = self.protocol.mask
            return [
                np.ones_like(region)
                if rules.background == "everything" or (rules.full == "whole" and region.all())
                else ~region
                for region in self.regions
            ]

        return self.cached("backgrounds", [self.protocol.mask], compute)

    def _region(self, annotated_mask: BoolMask) -> BoolMask:
        mask = set_frame(annotated_mask.copy()) if self.protocol.mask.frame else annotated_mask
        return ~mask if self.protocol.mask.background == "inside" else mask

    @property
    def prompts(self) -> list[tuple[str, str]]:
        """For each source the source and the target prompt, by the protocol's rules for prompts."""
        return [
            (self._prepare(source.source_prompt), self._prepare(self._target(source)))
            for source in self.sources
        ]

    @property
    def has_target(self) -> list[bool]:
        """For each source whether its edits have a text to be compared with: instructions may lack."""
        if self.protocol.prompts.target == "prompt":
            return [True] * len(self.sources)
        return [bool(source.instruction.strip()) for source in self.sources]

    def _target(self, source: SourceImage) -> str:
        return source.instruction if self.protocol.prompts.target == "instruction" else source.target_prompt

    def _prepare(self, prompt: str) -> str:
        rules = self.protocol.prompts
        bare = strip_brackets(prompt) if rules.brackets == "removed" else prompt
        return f"{rules.prefix}{bare}{rules.suffix}"

    def to_tensor(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Images as a tensor: 0..255 in float32 on the networks' device, ``[images, 3, height, width]``."""
        import torch

        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        return stacked.to(self.networks.device).float()


def _mask_of(source: SourceImage, runs: MaskRuns) -> BoolMask:
    if runs == "start_length" or source.read_mask is None:
        return source.mask
    return source.read_mask(runs)


def prepare_edit(saved: NDArray[np.uint8], height: int, width: int, rules: PictureRules) -> NDArray[np.uint8]:
    """The edit ``[height, width, 3]`` in a saved image, by the protocol's rules for edited images."""
    if saved.shape[:2] == (height, width):
        image = saved
    elif rules.panel == "squeezed":
        image = np.array(Image.fromarray(saved).resize((width, height)))
    elif rules.panel == "last":
        image = saved[-height:, -width:]
    else:
        top, left = _second_panel(saved.shape[:2], height, width)
        image = saved[top : top + height, left : left + width]
    if rules.jpeg is not None:
        image = as_jpeg(image, rules.jpeg, rules.chroma)
    return reorder_channels(image, rules.channels)


def _second_panel(saved: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """Top and left of a saved strip's second panel: right of the first, or below it."""
    rows, columns = saved[0] // height, saved[1] // width
    if columns > 1:
        return 0, (saved[1] - width) // (columns - 1)
    return (saved[0] - height) // (rows - 1), 0


def as_jpeg(image: NDArray[np.uint8], quality: int, chroma: str) -> NDArray[np.uint8]:
    """An image after JPEG compression, ``[height, width, 3]``."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=chroma)
    return np.array(Image.open(buffer))


def reorder_channels(image: NDArray[np.uint8], channels: str) -> NDArray[np.uint8]:
    """An image with its channels in the order ``rgb`` (as it is) or ``bgr``."""
    return image if channels == "rgb" else np.ascontiguousarray(image[..., ::-1])

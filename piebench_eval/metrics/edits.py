"""A block of edits under a protocol, and what the metrics share of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from piebench_eval.data.masks import set_frame
from piebench_eval.data.prompts import strip_brackets

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.masks import BoolMask
    from piebench_eval.metrics.networks.suite import Suite
    from piebench_eval.metrics.protocol import PictureRules, Protocol

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SourceImage:
    """The side of the comparison that all edits of a sample share.

    Attributes:
        image: source picture ``[height, width, 3]``.
        mask: True where the picture should be edited, ``[height, width]``, without the frame.
        source_prompt: prompt of the source picture, with its brackets.
        target_prompt: prompt of the edited picture, with its brackets.
        ideal: the ideal edit ``[height, width, 3]``, where the benchmark is a drawn one and it is asked for.
    """

    image: NDArray[np.uint8]
    mask: BoolMask
    source_prompt: str
    target_prompt: str
    ideal: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Edits:
    """Edited pictures beside their sources, all of one size, as a protocol sees them.

    What the metrics compute of them is remembered in ``memo`` by the rules that it depends on, so that
    metrics and protocols that agree in those rules share it.

    Attributes:
        suite: the networks.
        protocol: how to look at the pictures.
        sources: the sources, each once.
        owners: for each edit the position of its source.
        saved: edits as they were saved, ``[height, width, 3]``, or several panels of that size.
        memo: what was computed so far.
    """

    suite: Suite
    protocol: Protocol
    sources: Sequence[SourceImage]
    owners: Sequence[int]
    saved: Sequence[NDArray[np.uint8]]
    memo: dict[Any, Any]

    def under(self, protocol: Protocol) -> Edits:
        """The same edits under another protocol; what both see alike is computed once."""
        return Edits(self.suite, protocol, self.sources, self.owners, self.saved, self.memo)

    def cached(self, what: str, rules: Sequence[Hashable], compute: Callable[[], T]) -> T:
        """Compute something, or find it in the memo.

        Args:
            what: its name.
            rules: what it depends on of the protocol, sections or single choices.
            compute: how.
        """
        key = (what, *rules)
        if key not in self.memo:
            self.memo[key] = compute()
        return self.memo[key]

    def of_owners(self, of_sources: Sequence[T]) -> list[T]:
        """For each edit what belongs to its source."""
        return [of_sources[owner] for owner in self.owners]

    @property
    def source_images(self) -> list[NDArray[np.uint8]]:
        """Source pictures ``[height, width, 3]``, each once."""
        return [in_order(source.image, self.channels) for source in self.sources]

    @property
    def channels(self) -> str:
        """The one rule for pictures that reaches the sources too."""
        return self.protocol.pictures.channels

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """Edited pictures ``[height, width, 3]``."""

        def compute() -> list[NDArray[np.uint8]]:
            rules = self.protocol.pictures
            height, width, _ = self.sources[0].image.shape
            return [prepare_edit(saved, height, width, rules) for saved in self.saved]

        return self.cached("images", [self.protocol.pictures], compute)

    @property
    def regions(self) -> list[BoolMask]:
        """For each source the pixels that should change, ``[height, width]``."""
        return self.cached(
            "regions", [self.protocol.mask], lambda: [self._region(source.mask) for source in self.sources]
        )

    @property
    def backgrounds(self) -> list[BoolMask]:
        """For each source the pixels that should not change, ``[height, width]``."""

        def compute() -> list[BoolMask]:
            if self.protocol.mask.background == "everything":
                return [np.ones_like(region) for region in self.regions]
            return [~region for region in self.regions]

        return self.cached("backgrounds", [self.protocol.mask], compute)

    def _region(self, annotated: BoolMask) -> BoolMask:
        mask = set_frame(annotated.copy()) if self.protocol.mask.frame else annotated
        return ~mask if self.protocol.mask.background == "inside" else mask

    @property
    def prompts(self) -> list[tuple[str, str]]:
        """For each source the source and the target prompt, as CLIP reads them."""
        return [
            (self._as_read(source.source_prompt), self._as_read(source.target_prompt))
            for source in self.sources
        ]

    def _as_read(self, prompt: str) -> str:
        rules = self.protocol.prompts
        bare = strip_brackets(prompt) if rules.brackets == "removed" else prompt
        return f"{rules.prefix}{bare}{rules.suffix}"

    def levels(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Grey levels 0..255 as float32 on the networks' device, ``[pictures, 3, height, width]``."""
        import torch

        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        return stacked.to(self.suite.device).float()


def prepare_edit(saved: NDArray[np.uint8], height: int, width: int, rules: PictureRules) -> NDArray[np.uint8]:
    """Take the edit out of what was saved, ``[height, width, 3]``, by the protocol's rules for pictures."""
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
    return in_order(image, rules.channels)


def _second_panel(saved: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """Where the second panel begins in what was saved, ``[height, width]``: right of the first, or below."""
    rows, columns = saved[0] // height, saved[1] // width
    if columns > 1:
        return 0, (saved[1] - width) // (columns - 1)
    return (saved[0] - height) // (rows - 1), 0


def as_jpeg(image: NDArray[np.uint8], quality: int, chroma: str) -> NDArray[np.uint8]:
    """A picture as it looks after it was saved as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=chroma)
    return np.array(Image.open(buffer))


def in_order(image: NDArray[np.uint8], channels: str) -> NDArray[np.uint8]:
    """A picture with its channels in another order."""
    return image if channels == "rgb" else np.ascontiguousarray(image[..., ::-1])

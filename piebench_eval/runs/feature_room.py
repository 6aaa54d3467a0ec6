"""What is kept of an inversion's attention, and how much room a worker has for it, in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.diffusion.feature_limits import bytes_text

if TYPE_CHECKING:
    from piebench_eval.data.images import Size
    from piebench_eval.diffusion.feature_limits import FeaturePlace


@dataclass(frozen=True)
class FeatureRoom:
    """Bytes that one worker has in each place.

    Attributes:
        device: on the GPU; 0 without one, or if it is not known yet.
        host: None if it is not known.
        disk: 0 without a folder.
    """

    device: int
    host: int | None
    disk: int = 0

    @property
    def total(self) -> int | None:
        """Of all places; None if that is not known."""
        return None if self.host is None else self.device + self.host + self.disk

    def split(self, count: int) -> dict[FeaturePlace, int]:
        """How many of so many bytes lie in each place, filled in this order; what has no room is in none.

        >>> FeatureRoom(device=10, host=20, disk=100).split(35)
        {'device': 10, 'host': 20, 'disk': 5}
        """
        device = min(count, self.device)
        host = count - device if self.host is None else min(count - device, self.host)
        return {"device": device, "host": host, "disk": min(count - device - host, self.disk)}

    def __str__(self) -> str:
        """What each place has, as messages say it."""
        host = "an unknown part" if self.host is None else bytes_text(self.host)
        parts = [f"{host} of the host's memory"]
        parts = [f"{bytes_text(self.device)} of the GPU's", *parts] if self.device else parts
        return " and ".join([*parts, *([f"{bytes_text(self.disk)} on disk"] if self.disk else [])])


@dataclass(frozen=True)
class FeatureNeed:
    """What one combination keeps of the largest picture's inversion until sampling reads it.

    Attributes:
        combination: its name.
        size: width and height of that picture in pixels.
        evaluations: how many of the inversion's evaluations are kept: its kept steps times those of a step.
        bytes_per_evaluation: of a picture: layers x queries, keys or values x positions of picture and text x
            width x bytes of a number.
        room: what a worker has for it; None if it is not known.
    """

    combination: str
    size: Size
    evaluations: int
    bytes_per_evaluation: int
    room: FeatureRoom | None = None

    @property
    def bytes_per_picture(self) -> int:
        """Of all evaluations that are kept; the peak, since sampling begins when the inversion is done."""
        return self.evaluations * self.bytes_per_evaluation

    @property
    def parts_text(self) -> str:
        """What that is the product of, as messages say it."""
        count = f"{self.evaluations} evaluation{'s' if self.evaluations != 1 else ''}"
        return f"{count} of {bytes_text(self.bytes_per_evaluation)}"

    @property
    def largest_batch(self) -> int | None:
        """How many such pictures have room together; None if that is not known or not limited."""
        if self.room is None or self.room.total is None or not self.bytes_per_picture:
            return None
        return self.room.total // self.bytes_per_picture

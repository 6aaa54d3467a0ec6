"""The picture that is edited: a sample of the benchmark, or somebody's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from piebench_eval.data.images import image_size, read_image
from piebench_eval.data.masks import decode_rle, encode_rle
from piebench_eval.errors import PiebenchError
from piebench_eval.studio.changed_words import require_prompts
from piebench_eval.studio.picture_folder import write_picture

if TYPE_CHECKING:
    from pathlib import Path

    from piebench_eval.data.masks import BoolMask
    from piebench_eval.data.sample import Sample


@dataclass(frozen=True)
class Texts:
    """What a page says of an edit, without brackets around words."""

    source_prompt: str
    target_prompt: str
    blended_word: str = ""
    instruction: str = ""

    @classmethod
    def of(cls, sample: Sample) -> Texts:
        """The texts of a benchmark's sample."""
        return cls(sample.source_prompt, sample.target_prompt, sample.blended_word, sample.instruction)


@dataclass(frozen=True)
class Source:
    """The picture that is edited.

    Attributes:
        file: the picture.
        sample: the benchmark's sample that it is of; None for somebody's own.
        painted: the mask that somebody painted on it, a run-length list over the picture as ``encode_rle``
            writes it; it stands in the place of the sample's. None if nobody did.
    """

    file: Path
    sample: Sample | None = None
    painted: tuple[int, ...] | None = None

    def with_mask(self, mask: BoolMask | None) -> Source:
        """The picture with a painted mask ``[height, width]``, True where it is to be edited.

        Args:
            mask: of the picture's own height and width; None, or without a mark: nobody painted.

        Raises:
            PiebenchError: it is of another size.
        """
        if mask is None or not mask.any():
            return replace(self, painted=None)
        width, height = image_size(self.file)
        if mask.shape != (height, width):
            raise PiebenchError(
                f"The painted mask is {mask.shape[1]}x{mask.shape[0]}, and the picture {width}x{height}"
            )
        return replace(self, painted=tuple(encode_rle(mask)))

    def mask(self) -> BoolMask | None:
        """Where to edit ``[height, width]``: as painted, or as the benchmark says; None if neither says."""
        of_sample = () if self.sample is None else self.sample.mask_rle
        runs = of_sample if self.painted is None else self.painted
        if not runs:
            return None
        width, height = image_size(self.file)
        return decode_rle(runs, height, width)


def sample_to_edit(
    source: Source | None, texts: Texts, data: Path | None, folder: Path
) -> tuple[Path | None, Sample]:
    """The sample that is edited, and the folder of its benchmark.

    A picture of one's own becomes a benchmark of one sample, and so does a sample with other texts than the
    benchmark's, or with a painted mask: ``piebench run`` can edit it too.

    Args:
        source: the picture; None if there is none yet.
        texts: what the page says.
        data: the benchmark's folder; None for the embedded one.
        folder: where benchmarks of one sample are written.

    Raises:
        PiebenchError: there is no picture, or the prompts ask for no edit.
    """
    if source is None:
        raise PiebenchError("There is no picture yet; drop one, or take a sample")
    require_prompts(texts.source_prompt, texts.target_prompt, texts.blended_word)
    if source.sample is not None and source.painted is None and texts == Texts.of(source.sample):
        return data, source.sample
    return write_picture(
        folder,
        read_image(source.file),
        texts.source_prompt.strip(),
        texts.target_prompt.strip(),
        texts.blended_word.strip(),
        texts.instruction.strip(),
        source.mask(),
    )

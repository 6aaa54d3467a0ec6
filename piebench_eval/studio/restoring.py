"""A picture that the studio made, dropped in again: everything that was shown when it was made."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.data.images import image_size, read_image
from piebench_eval.errors import PiebenchError
from piebench_eval.studio.intake import take_in
from piebench_eval.studio.picture_folder import own_file, picture_key
from piebench_eval.studio.recording import read_mask, read_source
from piebench_eval.studio.sources import Source, Texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.studio.recording import Recording


@dataclass(frozen=True)
class RestoredSource:
    """The picture that was edited.

    Attributes:
        source: the picture; None if it cannot be had.
        message: where it is from, or what to do.
    """

    source: Source | None
    message: str


def restored_source(
    file: Path, recording: Recording, samples: Sequence[Sample], pictures: Path
) -> RestoredSource:
    """The picture that an edit was made of, with the mask that was painted on it.

    It is the benchmark's sample if its pixels are the same; or the one that travels in the edit; or one that
    was uploaded before.

    Args:
        file: the edit.
        recording: what it says of itself.
        samples: the benchmark's.
        pictures: where uploaded pictures are kept.
    """
    source = _of_benchmark(recording, samples) or _enclosed(file, recording, pictures)
    kept = pictures / f"{recording.picture}.png"
    if source is None and recording.picture and kept.is_file():
        source = Source(kept)
    if source is None:
        what = f"sample {recording.sample}" if recording.sample else "picture"
        where = "start the studio with its --data, or drop" if recording.sample else "drop"
        return RestoredSource(None, f"The {what} that was edited is not here; {where} the picture too.")
    width, height = image_size(source.file)
    message = "Its sample is chosen." if source.sample else "The picture that was edited is back."
    return RestoredSource(source.with_mask(read_mask(file, (height, width))), message)


def restored_texts(recording: Recording, sample: Sample | None) -> Texts:
    """The texts of an edit, without the brackets of the benchmark's prompts."""
    source, target = recording.source_prompt, recording.target_prompt
    if sample is not None and source == sample.marked_source_prompt:
        source = sample.source_prompt
    if sample is not None and target == sample.marked_target_prompt:
        target = sample.target_prompt
    return Texts(source, target, recording.blended_word, recording.instruction)


def _of_benchmark(recording: Recording, samples: Sequence[Sample]) -> Source | None:
    for sample in samples:
        if sample.id == recording.sample:
            same = not recording.picture or picture_key(read_image(sample.file)) == recording.picture
            return Source(sample.file, sample) if same else None
    return None


def _enclosed(file: Path, recording: Recording, pictures: Path) -> Source | None:
    content = read_source(file)
    if content is None:
        return None
    try:
        picture = take_in(io.BytesIO(content)).picture
    except PiebenchError:
        return None
    return Source(own_file(pictures, picture)) if picture_key(picture) == recording.picture else None

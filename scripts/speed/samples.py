"""Photographs that scikit-image ships, with prompts and blended words, for measuring speed."""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from piebench_eval.data.sample import Sample

_EDITS = [
    ("astronaut", "a photo of an astronaut", "a photo of a robot", "astronaut robot"),
    ("chelsea", "a cat in a house", "a dog in a house", "cat dog"),
    ("coffee", "a cup of coffee on a table", "a cup of tea on a table", "coffee tea"),
]


def save_samples(folder: Path, number: int, side: int) -> list[Sample]:
    """Write so many square pictures, no two alike, and describe them."""
    samples = []
    for index in range(number):
        name, source, target, words = _EDITS[index % len(_EDITS)]
        picture = getattr(skimage.data, name)()
        shorter = min(picture.shape[:2])
        square = np.roll(picture[:shorter, :shorter], index, axis=1)
        file = folder / f"{index:012}.png"
        Image.fromarray(square).resize((side, side)).save(file)
        samples.append(Sample(f"{index:012}", file.name, file, source, target, "", "1", words, ()))
    return samples

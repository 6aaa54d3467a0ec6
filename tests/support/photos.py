"""Four photographs that scikit-image ships, as a small PIE-Bench folder."""

import json
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from piebench_eval.data.masks import decode_rle, encode_rle

ANNOTATIONS = {
    "000000000001": {
        "image_path": "0_random_140/000000000001.png",
        "original_prompt": "a photo of an [astronaut]",
        "editing_prompt": "a photo of an [cat]",
        "editing_instruction": "Make the astronaut a cat",
        "editing_type_id": "0",
        "blended_word": "astronaut cat",
        "mask": [128 * 40 + 30, 60, 128 * 41 + 30, 60, 128 * 42 + 30, 60],
    },
    "111000000002": {
        "image_path": "1_change_object_80/1_artificial/111000000002.png",
        "original_prompt": "a [cat] sitting next to a mirror",
        "editing_prompt": "a [dog] sitting next to a mirror in the photo",
        "editing_instruction": "Make the cat a dog",
        "editing_type_id": "1",
        "blended_word": "cat dog",
        "mask": [value for row in range(20, 100) for value in (128 * row + 20, 80)],
    },
    "812000000003": {
        "image_path": "8_change_background_80/812000000003.png",
        "original_prompt": "a round coffee cup",
        "editing_prompt": "a round coffee cup [in the mirror]",
        "editing_instruction": "Put the cup into a mirror",
        "editing_type_id": "8",
        "blended_word": "",
        "mask": [],
    },
    "912000000004": {
        "image_path": "9_change_style_80/912000000004.png",
        "original_prompt": "a rocket in the [unbelievable] evening",
        "editing_prompt": "a rocket in the [square] evening",
        "editing_instruction": "Change the evening",
        "editing_type_id": "9",
        "blended_word": "rocket zebra",
        "mask": [0, 128 * 128],
    },
}


def pictures() -> list[np.ndarray]:
    """Astronaut, cat, coffee and rocket, each ``[height, width, 3]``, none of them 128 pixels."""
    return [
        skimage.data.astronaut(),
        skimage.data.chelsea(),
        skimage.data.coffee(),
        skimage.data.rocket(),
    ]


def save_photo_bench(folder: Path, enlarged: int = 1) -> Path:
    """Write the folder, with square pictures of 128 pixels, or of so many times more."""
    side = 128 * enlarged
    annotations = {
        sample_id: {**annotation, "mask": _enlarge(annotation["mask"], enlarged)}
        for sample_id, annotation in ANNOTATIONS.items()
    }
    for annotation, picture in zip(annotations.values(), pictures(), strict=True):
        file = folder / "annotation_images" / annotation["image_path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        shorter = min(picture.shape[:2])
        square = Image.fromarray(picture).crop((0, 0, shorter, shorter))
        square.resize((side, side)).save(file)
    (folder / "mapping_file.json").write_text(json.dumps(annotations))
    return folder


def _enlarge(rle: list[int], factor: int) -> list[int]:
    if factor == 1:
        return rle
    mask = decode_rle(rle, 128, 128)
    return encode_rle(mask.repeat(factor, axis=0).repeat(factor, axis=1))


SHAPES = {"wide": (128, 192), "portrait": (192, 128), "odd": (130, 130)}
"""Height and width of pictures that every loader makes something else of, or that none leaves as it is."""


def save_shapes_bench(folder: Path) -> Path:
    """Write a small PIE-Bench folder of these pictures, which change a part near their upper left corner."""
    annotations = {}
    for name, (height, width) in SHAPES.items():
        mask = np.zeros((height, width), dtype=bool)
        mask[40:72, 48:80] = True
        file = folder / "annotation_images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(skimage.data.astronaut()[:height, 150 : 150 + width]).save(file)
        about = {**ANNOTATIONS["000000000001"], "image_path": file.name, "mask": encode_rle(mask)}
        annotations[name] = about
    (folder / "mapping_file.json").write_text(json.dumps(annotations))
    return folder

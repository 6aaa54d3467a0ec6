"""Draw the demo benchmark: PIE-Bench's folder layout with drawn images, and the ideal edit of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.images import encode_image
from piebench_eval.data.masks import encode_rle
from piebench_eval.data.pie_bench import IMAGES_FOLDER, MAPPING_FILE
from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.demo.draw import draw
from piebench_eval.demo.scene import caption, choose
from piebench_eval.demo.scene_edits import SceneEdit, mark_changes, random_edit
from piebench_eval.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

IDEAL_FOLDER = "ideal_images"
"""The ideal edits, under the names of the annotated images."""

DEMO_PER_TYPE = 4
"""Samples of each editing type in the embedded benchmark."""

_OPENINGS = ("", "a drawing of", "a picture of")
_SEEDS = 1_000_000_000  # far above the seeds of the models' training scenes


def write_benchmark(folder: Path, per_type: int, seed: int = 0) -> Path:
    """Draw a benchmark of all ten editing types.

    Args:
        folder: the output folder; ``mapping_file.json`` is written last and marks it as complete.
        per_type: samples of each editing type.
        seed: of the scenes; equal seeds give equal images.

    Returns:
        The folder.

    Raises:
        PiebenchError: the folder cannot be written to.
    """
    annotations = {}
    for type_id, name in TYPE_NAMES.items():
        for index in range(per_type):
            rng = np.random.default_rng([_SEEDS + seed, int(type_id), index])
            sample_id = f"{type_id}{index:011d}"
            path = f"{type_id}_{name.replace(' ', '_')}_{per_type}/{sample_id}.png"
            annotations[sample_id] = _write_sample(folder, path, type_id, rng)
    write_whole(folder / MAPPING_FILE, json.dumps(annotations, indent=1).encode())
    return folder


def embedded_benchmark(folder: Path) -> Path:
    """Draw the embedded benchmark unless the folder has it; returns the folder."""
    if not (folder / MAPPING_FILE).is_file():
        write_benchmark(folder, DEMO_PER_TYPE)
    return folder


def _write_sample(folder: Path, path: str, type_id: str, rng: np.random.Generator) -> dict[str, Any]:
    edit = random_edit(type_id, rng)
    source, target = mark_changes(*_prompts(edit, rng))
    images = [draw(edit.source), draw(edit.target)]
    for name, image in zip((IMAGES_FOLDER, IDEAL_FOLDER), images, strict=True):
        # Atomically: another process may draw or read the same benchmark.
        write_whole(folder / name / path, encode_image(image))
    return {
        "image_path": path,
        "original_prompt": source,
        "editing_prompt": target,
        "editing_instruction": edit.instruction,
        "editing_type_id": type_id,
        "blended_word": edit.blended_word,
        "mask": encode_rle((images[0] != images[1]).any(axis=2)),
    }


def _prompts(edit: SceneEdit, rng: np.random.Generator) -> tuple[str, str]:
    restyled = edit.source.sketch != edit.target.sketch
    opening = choose(rng, _OPENINGS[1:] if restyled else _OPENINGS)
    return caption(edit.source, opening), caption(edit.target, opening)

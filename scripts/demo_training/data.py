"""Scenes for training and measuring, with disjoint seeds, also from those of the benchmark."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from piebench_eval.demo.draw import draw
from piebench_eval.demo.scene import Scene, caption, choose, random_scene

SEEDS = {"train": 11_000_000, "held-out": 12_000_000}
OPENINGS = ("", "a drawing of", "a picture of")
JOINTS = ("and", "next to")


def scene(purpose: str, index: int, count: int | None = None) -> Scene:
    """The scene of a number; the same for everybody."""
    return random_scene(np.random.default_rng(SEEDS[purpose] + index), count)


def say(shown: Scene, rng: np.random.Generator) -> str:
    """One of the ways to describe a scene."""
    return caption(shown, choose(rng, OPENINGS), choose(rng, JOINTS, (0.7, 0.3)))


def _draw_number(number: tuple[str, int]) -> NDArray[np.uint8]:
    return draw(scene(*number))


def pictures(folder: Path, purpose: str, count: int) -> NDArray[np.uint8]:
    """Draw scenes 0 to count - 1 once and keep them; ``[count, side, side, 3]``."""
    file = folder / f"{purpose}-{count}.npy"
    if not file.is_file():
        with ProcessPoolExecutor() as pool:
            drawn = list(pool.map(_draw_number, [(purpose, i) for i in range(count)], chunksize=64))
        folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, np.stack(drawn))
        partial.replace(file)
    return np.load(file, mmap_mode="r")


def to_unit(drawn: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures ``[n, side, side, 3]`` as the networks take them: ``[n, 3, side, side]`` in -1..1."""
    return torch.from_numpy(np.array(drawn)).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1

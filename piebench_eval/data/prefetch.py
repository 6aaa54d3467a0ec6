"""Pictures read ahead: while a batch is edited, the next one's are decoded."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from piebench_eval.data.image_files import read_picture

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class ImagePrefetcher:
    """Pictures that have been asked for, read by a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._asked: dict[Path, Future[NDArray[np.uint8]]] = {}

    def submit(self, files: Iterable[Path]) -> None:
        """Begin to read pictures; those that were asked for before, and are not among them, are dropped."""
        known = self._asked
        self._asked = {file: known.get(file) or self._pool.submit(read_picture, file) for file in files}

    def read(self, file: Path) -> NDArray[np.uint8]:
        """A picture, from the prefetcher or else from its file.

        Returns:
            Array of shape ``[height, width, 3]``.

        Raises:
            PiebenchError: the file is missing, damaged or of a kind that cannot be edited.
        """
        asked = self._asked.get(file)
        return read_picture(file) if asked is None else asked.result()

"""Prefetch source images: decode those of the next batch while the current one is edited."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from piebench_eval.data.images import read_image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class ImagePrefetcher:
    """Reads submitted images in a background thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="images")
        self._futures: dict[Path, Future[NDArray[np.uint8]]] = {}

    def submit(self, files: Iterable[Path]) -> None:
        """Start reading images, and drop those submitted before that are not among them."""
        previous = self._futures
        self._futures = {file: previous.get(file) or self._pool.submit(read_image, file) for file in files}

    def read(self, file: Path) -> NDArray[np.uint8]:
        """Return an image, from the prefetcher or else from its file.

        Returns:
            Array of shape ``[height, width, 3]``.

        Raises:
            PiebenchError: the file is missing, damaged or of an unsupported kind.
        """
        future = self._futures.get(file)
        return read_image(file) if future is None else future.result()

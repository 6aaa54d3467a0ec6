"""Pictures read ahead."""

import numpy as np
import pytest

from piebench_eval.data import prefetch as prefetch_module
from piebench_eval.data.images import read_image
from piebench_eval.data.prefetch import ImagePrefetcher
from piebench_eval.errors import PiebenchError


@pytest.fixture
def reads(monkeypatch):
    """The files that are read, in order."""
    files = []

    def read(file):
        files.append(file)
        return read_image(file)

    monkeypatch.setattr(prefetch_module, "read_image", read)
    return files


def test_what_was_asked_for_is_read_once(samples, reads):
    prefetcher, (one, two, *_) = ImagePrefetcher(), [sample.file for sample in samples]
    prefetcher.submit([one])
    prefetcher.submit([one, two])
    for file in (one, two, one):
        np.testing.assert_array_equal(prefetcher.read(file), read_image(file))
    assert reads == [one, two]


def test_what_was_not_is_read_all_the_same(samples, reads):
    prefetcher, file = ImagePrefetcher(), samples[0].file
    prefetcher.submit([file])
    prefetcher.submit([])
    prefetcher.read(file)
    assert reads == [file, file], "what is no longer asked for is dropped"


def test_a_broken_picture_is_an_error_where_it_is_used(tmp_path):
    prefetcher, lost = ImagePrefetcher(), tmp_path / "lost.png"
    prefetcher.submit([lost])
    with pytest.raises(PiebenchError, match="lost"):
        prefetcher.read(lost)

"""Pictures read ahead."""

import numpy as np
import pytest

from piebench_eval.bench import shelf as shelf_module
from piebench_eval.bench.pictures import read_picture
from piebench_eval.bench.shelf import PictureShelf
from piebench_eval.errors import PiebenchError


@pytest.fixture
def reads(monkeypatch):
    """The files that are read, in order."""
    files = []

    def read(file):
        files.append(file)
        return read_picture(file)

    monkeypatch.setattr(shelf_module, "read_picture", read)
    return files


def test_what_was_asked_for_is_read_once(samples, reads):
    shelf, (one, two, *_) = PictureShelf(), [sample.file for sample in samples]
    shelf.ask([one])
    shelf.ask([one, two])
    for file in (one, two, one):
        np.testing.assert_array_equal(shelf.read(file), read_picture(file))
    assert reads == [one, two]


def test_what_was_not_is_read_all_the_same(samples, reads):
    shelf, file = PictureShelf(), samples[0].file
    shelf.ask([file])
    shelf.ask([])
    shelf.read(file)
    assert reads == [file, file], "what is no longer asked for is dropped"


def test_a_broken_picture_is_an_error_where_it_is_used(tmp_path):
    shelf, lost = PictureShelf(), tmp_path / "lost.png"
    shelf.ask([lost])
    with pytest.raises(PiebenchError, match="lost"):
        shelf.read(lost)

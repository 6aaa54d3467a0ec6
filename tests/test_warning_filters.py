"""Warnings of others are kept from the user, and nobody else's filters are touched."""

import re
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.images import read_image
from piebench_eval.warning_filters import ignored_warnings

PACKAGE = Path(__file__).parents[1] / "piebench_eval"


@pytest.fixture
def slow_picture(tmp_path, monkeypatch):
    """A picture that a thread reads for as long as the test wants."""
    file = tmp_path / "picture.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
    opened, wanted, whole = threading.Event(), threading.Event(), Image.open

    def slowly(*arguments, **options):
        opened.set()
        assert wanted.wait(60)
        return whole(*arguments, **options)

    monkeypatch.setattr(Image, "open", slowly)
    thread = threading.Thread(target=read_image, args=(file,))
    yield thread, opened, wanted
    wanted.set()
    thread.join()


def is_heard(text):
    with warnings.catch_warnings(record=True) as heard:
        warnings.warn(text, UserWarning, stacklevel=1)
    return text in [str(warning.message) for warning in heard]


def test_a_picture_read_meanwhile_leaves_a_librarys_filters_in_order(slow_picture):
    """Any library may set filters for a while in the main thread, as PyTorch does."""
    thread, opened, wanted = slow_picture
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = list(warnings.filters)
        thread.start()
        opened.wait(60)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ImportWarning)
            within = list(warnings.filters)
            wanted.set()
            thread.join()
            assert [entry for entry in warnings.filters if entry in within] == list(warnings.filters)
            assert warnings.filters[0][2] is ImportWarning, "as it was set"
        assert is_heard("after")
        with ignored_warnings():
            pass
        assert list(warnings.filters) == before


def test_only_the_body_is_silent(recwarn):
    with ignored_warnings():
        warnings.warn("within", stacklevel=1)
        other = threading.Thread(target=lambda: warnings.warn("beside", stacklevel=1))
        other.start()
        other.join()
        with ignored_warnings():
            warnings.warn("deeper", stacklevel=1)
        warnings.warn("within again", stacklevel=1)
    warnings.warn("after", stacklevel=1)
    assert [str(warning.message) for warning in recwarn] == ["beside", "after"]


def test_whatever_was_set_meanwhile_is_silent_too():
    with warnings.catch_warnings(), ignored_warnings():
        warnings.simplefilter("error")
        with ignored_warnings():
            warnings.warn("within", stacklevel=1)


def test_filters_are_kept_and_put_back_by_the_command_line_alone():
    """It does so once, around everything; anywhere else a thread may do so at the same time."""
    users = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if re.search(r"with[^#\n]*warnings\.catch_warnings|= warnings\.catch_warnings", file.read_text())
        or re.search(r"^\s+warnings\.catch_warnings\(", file.read_text(), re.MULTILINE)
    }
    assert users == {"cli/app.py"}

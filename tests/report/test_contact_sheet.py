import numpy as np
import pytest
from PIL import Image

from piebench_eval.report.contact_sheet import SheetRow, contact_sheet


@pytest.fixture
def pictures(tmp_path):
    files = []
    for index, color in enumerate([(250, 10, 10), (10, 250, 10)]):
        file = tmp_path / f"{index}.png"
        Image.new("RGB", (16, 16), color).save(file)
        files.append(file)
    return files


def test_every_picture_is_on_the_sheet(samples, pictures):
    rows = [SheetRow(sample, pictures) for sample in samples[:3]]
    sheet = np.array(contact_sheet(["source", "edit"], rows, side=32))
    assert (sheet == (250, 10, 10)).all(axis=2).sum() == 3 * 32 * 32
    assert (sheet == (10, 250, 10)).all(axis=2).sum() == 3 * 32 * 32


def test_a_missing_picture_leaves_its_place_empty(samples, pictures):
    full = contact_sheet(["source", "edit"], [SheetRow(samples[0], pictures)], side=32)
    holed = contact_sheet(["source", "edit"], [SheetRow(samples[0], [pictures[0], None])], side=32)
    assert holed.size == full.size
    assert not (np.array(holed) == (10, 250, 10)).all(axis=2).any()


def test_a_long_heading_goes_on_below(samples, pictures):
    rows = [SheetRow(samples[0], pictures)]
    short = np.array(contact_sheet(["source", "a+b"], rows, side=128))
    long = np.array(contact_sheet(["source", "rf_solver+feature_sharing"], rows, side=128))
    assert long.shape[0] - short.shape[0] == 16 and long.shape[1] == short.shape[1]
    right = (long[:38] < 128).any(axis=2)
    assert right[19:].any() and not right[:, 6 + 134 + 128 :].any()

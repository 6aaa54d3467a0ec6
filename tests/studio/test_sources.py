"""The picture that is edited: a sample's or one's own, with the mask that counts."""

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.sample import Sample
from piebench_eval.errors import PiebenchError
from piebench_eval.studio.sources import Source, Texts, sample_to_edit

PAINTED = np.zeros((6, 9), bool)
PAINTED[2:4, 3:5] = True


@pytest.fixture
def sample(tmp_path):
    file = tmp_path / "x.png"
    Image.new("RGB", (9, 6), "red").save(file)
    return Sample("007", "x.png", file, "a [cat]", "a [dog]", "", "1", "cat dog", (0, 3))


def test_a_painted_mask_stands_in_the_place_of_the_samples(sample):
    source = Source(sample.file, sample)
    assert source.mask()[0, :4].tolist() == [True, True, True, False]
    assert (source.with_mask(PAINTED).mask() == PAINTED).all()
    assert source.with_mask(PAINTED).with_mask(np.zeros((6, 9), bool)) == source
    assert Source(sample.file).mask() is None
    with pytest.raises(PiebenchError, match="mask is 6x9, and the picture 9x6"):
        source.with_mask(PAINTED.T)


def test_a_sample_with_a_painted_mask_is_a_benchmark_of_its_own(sample, tmp_path):
    texts = Texts.of(sample)
    assert sample_to_edit(Source(sample.file, sample), texts, None, tmp_path) == (None, sample)
    painted = Source(sample.file, sample).with_mask(PAINTED)
    folder, one = sample_to_edit(painted, texts, None, tmp_path / "pictures")
    assert load_pie_bench(folder) == [one] and one.mask_rle == painted.painted

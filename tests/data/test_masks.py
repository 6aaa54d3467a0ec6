import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.data.masks import decode_rle, encode_rle, rle_problem

SIZE = st.integers(1, 40)
RUNS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000)), max_size=12)


def decode_slowly(runs, height, width):
    flat = [0] * (height * width)
    for start, length in runs:
        for pixel in range(start, min(start + length, len(flat))):
            flat[pixel] = 1
    mask = np.array(flat, dtype=bool).reshape(height, width)
    mask[0] = mask[-1] = True
    mask[:, 0] = mask[:, -1] = True
    return mask


@given(RUNS, SIZE, SIZE)
def test_equals_a_loop_over_pixels(runs, height, width):
    rle = [value for run in runs for value in run]
    np.testing.assert_array_equal(
        decode_rle(rle, height, width, frame=True), decode_slowly(runs, height, width)
    )


@given(st.integers(0, 2**32 - 1), SIZE, SIZE)
def test_an_encoded_mask_decodes_to_itself(seed, height, width):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    np.testing.assert_array_equal(decode_rle(encode_rle(mask), height, width), mask)


def test_numbers_of_any_size_are_clipped():
    assert decode_rle([5, 2**63 - 1, 10**30, 1], 4, 4).all(axis=None) == decode_rle([5, 11], 4, 4).all()
    np.testing.assert_array_equal(decode_rle([5, 10**30], 4, 4), decode_rle([5, 11], 4, 4))


@pytest.mark.parametrize("rle", [[1], [1, 2, 3], [-1, 5], [5, -1]])
def test_refuses_what_is_no_run_length_list(rle):
    with pytest.raises(ValueError, match=r"odd|negative"):
        decode_rle(rle, 8, 8)


@pytest.mark.parametrize("value", [None, "1,2", 3, [1.0, 2.0], [True, 2], ["1", "2"], {"0": 1}])
def test_names_wrong_types(value):
    assert rle_problem(value)


@pytest.mark.golden
def test_reference_edge_cases(golden_metrics):
    for case in json.loads((golden_metrics / "rle_edge_cases.json").read_text()):
        rle = case["rle"] or [v for row in range(1, 511) for v in (row * 512 + 1, 510)]
        if case["name"] == "empty":
            rle = []
        # The reference lets negative numbers pass silently or by accident; here they are refused.
        if "error" in case or any(value < 0 for value in rle):
            assert rle_problem(rle), case["name"]
            continue
        mask = decode_rle(rle, 512, 512, frame=True)
        assert mask.sum() == case["sum"], case["name"]
        digest = hashlib.sha256(mask.astype(np.uint8).tobytes()).hexdigest()
        assert digest == case["sha256_of_uint8_rows"], case["name"]

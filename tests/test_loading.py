"""How float32 numbers are multiplied."""

import pytest
import torch

from piebench_eval.loading import tf32


def flags():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_tf32_lasts_as_long_as_its_context():
    with pytest.raises(ZeroDivisionError), tf32():
        assert flags() == (True, True)
        raise ZeroDivisionError
    assert flags() == (False, False)
    with tf32(False):
        assert flags() == (False, False)

"""How float32 numbers are multiplied."""

import pytest
import torch

from piebench_eval.loading import tf32, use_exact_float32

cuda, cudnn = torch.backends.cuda, torch.backends.cudnn


def flags():
    return cuda.matmul.allow_tf32, cudnn.allow_tf32


def precisions():
    """PyTorch's newer switches, one for each kind of operation."""
    return [operation.fp32_precision for operation in (cuda.matmul, cudnn.conv, cudnn.rnn)]


def test_tf32_lasts_as_long_as_its_context():
    with pytest.raises(ZeroDivisionError), tf32():
        assert flags() == (True, True)
        raise ZeroDivisionError
    assert flags() == (False, False)
    with tf32(False):
        assert flags() == (False, False)


@pytest.mark.skipif(not hasattr(cudnn, "conv"), reason="this PyTorch has the older switches alone")
def test_exact_means_every_operation_whatever_the_process_asked_for(monkeypatch):
    before = torch.backends.fp32_precision
    torch.backends.fp32_precision = "tf32"
    try:
        use_exact_float32()
        assert precisions() == ["ieee"] * 3 and flags() == (False, False)
        with tf32():
            assert precisions() == ["tf32"] * 3 and flags() == (True, True)
        assert precisions() == ["ieee"] * 3 and flags() == (False, False)
    finally:
        torch.backends.fp32_precision = before

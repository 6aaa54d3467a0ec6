"""How float32 numbers are multiplied."""

import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models.from_pretrained import explained_loading
from piebench_eval.models.precision import tf32, use_exact_float32

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


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_too_little_memory_is_not_blamed_on_the_network(error):
    with pytest.raises(PiebenchError) as caught, explained_loading("--model", "some/model", "a model"):
        raise error
    assert "GPU's memory" in str(caught.value) and "network" not in str(caught.value)
    assert "--precision bf16" in str(caught.value) and "--sequential-offload" in str(caught.value)
    with pytest.raises(PiebenchError) as of_a_metric, explained_loading("--clip", "some/model", "a model"):
        raise error
    assert "--sequential-offload" not in str(of_a_metric.value)


def test_a_loaders_reason_is_told_to_its_end():
    loading = explained_loading("--model", "some/model, unet", "a model")
    with pytest.raises(PiebenchError, match="network") as caught, loading:
        raise OSError("there are problems:\n\tsize mismatch for conv_in")
    assert "there are problems: size mismatch for conv_in" in str(caught.value)


def test_what_lies_here_needs_no_network(tmp_path):
    loading = explained_loading("--model", f"{tmp_path}, unet", "a model")
    with pytest.raises(PiebenchError) as caught, loading:
        raise ValueError("damaged")
    assert "network" not in str(caught.value)

import numpy as np
import pytest
import torch

from piebench_eval.metrics.networks.suite import Suite


@pytest.fixture(scope="session")
def suite(metric_networks):
    return Suite(metric_networks, torch.device("cpu"), batch=2)


@pytest.fixture(scope="session")
def picture():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def half_mask():
    mask = np.zeros((64, 64), dtype=bool)
    mask[:, :32] = True
    return mask

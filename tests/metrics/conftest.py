import numpy as np
import pytest
import torch

from piebench_eval.metrics.networks.metric_networks import MetricNetworks


@pytest.fixture(scope="session")
def networks(metric_networks):
    return MetricNetworks(metric_networks, torch.device("cpu"), batch_size=2)


@pytest.fixture(scope="session")
def picture():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def half_mask():
    mask = np.zeros((64, 64), dtype=bool)
    mask[:, :32] = True
    return mask

"""Weights from a seed that give the same numbers on every machine and with every version of PyTorch."""

import numpy as np
import torch


def fill(module: torch.nn.Module, seed: int, gain: float = 1.0) -> torch.nn.Module:
    """Fill every parameter from numpy's legacy generator, whose stream is guaranteed never to change."""
    generator = np.random.RandomState(seed)
    for name, parameter in sorted(module.named_parameters()):
        values = np.asarray(generator.standard_normal(parameter.shape), dtype=np.float32)
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            values *= gain / np.sqrt(fan_in)
        else:
            values = 0.05 * values + (1.0 if name.endswith("weight") else 0.0)
        parameter.data = torch.tensor(values)
    return module.eval()

"""A runner without a model: quick, repeatable, and able to fail in the ways that real ones do."""

import hashlib
import os
import signal
import time
from functools import partial

import numpy as np

from piebench_eval.runs.runner import EditResult


class OutOfMemoryError(RuntimeError):
    """Known by its name, as PyTorch's is."""


class FakeRunner:
    """Draws a picture that depends on the combination and the sample alone.

    ``fails``: ids that raise; ``fits``: the largest batch that fits; ``kills``: ids that kill the process;
    ``spoils``: ids that end its use of the GPU; ``seconds``: what a batch takes.
    """

    def __init__(self, fails=(), fits=None, kills=(), spoils=(), seconds=0.0, capacity=None, log=None):
        self.about = {"device": "nowhere", "pid": os.getpid()}
        self.capacity, self.weights_bytes = capacity, 10
        self.fails, self.fits, self.kills, self.seconds = fails, fits, kills, seconds
        self.spoils, self.spoilt = spoils, False
        self.batches = []
        self.prefetched = []
        self.cleared = 0
        self.models = []

    def load(self, model):
        self.models.append(model)
        return f"weights of {model.name}"

    def prefetch(self, samples):
        self.prefetched.append(samples)

    def clear_cache(self):
        self.cleared += 1

    def edit(self, combination, samples):
        self.batches.append((combination.name, [sample.id for sample in samples]))
        time.sleep(self.seconds)
        ids = {sample.id for sample in samples}
        if ids & set(self.kills):
            os.kill(os.getpid(), signal.SIGKILL)
        self.spoilt = self.spoilt or bool(ids & set(self.spoils))
        if self.spoilt:
            raise RuntimeError("CUDA error: device-side assert triggered\nFor debugging consider ...")
        if self.fits is not None and len(samples) > self.fits:
            raise OutOfMemoryError(f"{len(samples)} are too many")
        if found := ids & set(self.fails):
            raise ValueError(f"{sorted(found)[0]} cannot be edited")
        peak = self.weights_bytes + 10 * len(samples)
        return [self.draw(combination, sample, peak) for sample in samples]

    def draw(self, combination, sample, peak):
        seed = hashlib.sha256(f"{combination.name} {sample.id}".encode()).digest()
        image = np.random.default_rng(list(seed)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return EditResult(sample, image, None, self.seconds, 7, 2, 3, peak, [])


def _make(spec, recipe, **behaviour):
    return FakeRunner(**behaviour)


def fake_runner(**behaviour):
    """What ``MachineOptions(make_runner=...)`` takes; it can be sent to other processes."""
    return partial(_make, **behaviour)

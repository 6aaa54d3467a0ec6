"""Memory of a batch: measured on this device, and estimated for other models and GPUs."""

import ctypes
import gc
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from piebench_eval.data.sample import Sample
from piebench_eval.diffusion.controller import controlled
from piebench_eval.diffusion.rows import RowBatch
from piebench_eval.methods import METHODS
from piebench_eval.models.decoding import GPU_BATCH
from piebench_eval.recipes.combination import Combination
from piebench_eval.runs.forecast import sampling_rows
from scripts.speed.empty import META, empty_model, empty_texts
from scripts.speed.models import Size
from scripts.speed.sdxl import XLSize


class PeakMemory:
    """The most memory that work takes: of a GPU, or on Linux of the process.

    ``most`` is in bytes, and ``taken`` what of it did not lie there before; None where the system does not
    tell.
    """

    most: int | None = None
    taken: int | None = None

    def __init__(self, device: torch.device):
        self._device = device

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        self._before = None
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        elif sys.platform == "linux":
            with suppress(OSError, AttributeError):  # a container may forbid it, another C library lack it
                ctypes.CDLL(None).malloc_trim(0)  # what was freed earlier must not hide what is taken now
                Path("/proc/self/clear_refs").write_text("5")
                self._before = _of_process("VmRSS")
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._before is not None:
            cuda = self._device.type == "cuda"
            self.most = torch.cuda.max_memory_allocated(self._device) if cuda else _of_process("VmHWM")
            self.taken = self.most - self._before


def _of_process(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(kilobytes) * 1024


@dataclass(frozen=True)
class Calculated:
    """Bytes: of all weights, and the most that a step, decoding, and null-text's update take besides.

    ``text_encoders``: what of the weights is theirs.
    """

    weights: int
    text_encoders: int
    step: int
    decoding: int
    update: int

    @property
    def besides(self) -> int:
        return max(self.step, self.decoding, self.update)

    @property
    def total(self) -> int:
        return self.weights + self.besides

    @property
    def offloaded(self) -> int:
        """The most where text encoders leave the device once prompts are embedded."""
        return max(self.weights, self.total - self.text_encoders)


def calculate_memory(
    size: Size | XLSize, combination: Combination, samples: Sequence[Sample], dtype: torch.dtype, side: int
) -> Calculated:
    """Add up the tensors that live at a time, on tensors that have no data.

    The step is the first of those with the most rows. Not counted are what a fused attention kernel keeps
    inside, and what an allocator loses between tensors.
    """
    model = empty_model(size, dtype)
    unet, shape = model.denoiser, (side // model.vae_factor,) * 2
    latents = torch.empty(len(samples), 4, *shape, device=META)
    method = METHODS.get(combination.method)
    steps = combination.common.steps
    controller = method.prepare(samples, model, steps, combination.method_settings).controller
    index, rows = largest_step(combination, samples)
    controller.begin_step(index, rows, shape)

    def step() -> None:
        with controlled(unet, controller, shape):
            model.predict(latents[rows.owners], 1, empty_texts(unet, len(rows.owners)), rows.owners)

    def decode() -> None:
        model.vae.decode(latents[:GPU_BATCH])

    def update() -> None:
        unet.requires_grad_(False)
        with torch.enable_grad():
            uncond = empty_texts(unet, len(samples))
            uncond.tokens.requires_grad_()
            model.predict(latents, 1, uncond, range(len(samples))).sum().backward()

    text_encoders = list(model.text_encoders.values())
    networks = [unet, model.vae, *text_encoders]
    return Calculated(
        _bytes_of_weights(networks),
        _bytes_of_weights(text_encoders),
        _most_alive(step, networks),
        _most_alive(decode, networks),
        _most_alive(update, networks) if combination.inversion == "null_text" else 0,
    )


def _bytes_of_weights(networks: Sequence[torch.nn.Module]) -> int:
    return sum(weight.numel() * weight.element_size() for net in networks for weight in net.parameters())


def largest_step(combination: Combination, samples: Sequence[Sample]) -> tuple[int, RowBatch]:
    """The first sampling step with the most UNet rows, and these."""
    plans = [sampling_rows(combination, sample) for sample in samples]
    steps = [RowBatch.of_step(of_samples) for of_samples in zip(*plans, strict=True)]
    return max(enumerate(steps), key=lambda step: len(step[1].owners))


def _most_alive(work: Callable[[], None], networks: Sequence[torch.nn.Module]) -> int:
    """Bytes of tensors that some work makes and that live at a time, at most; the weights do not count."""
    tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    with torch.no_grad(), _FusedAttention(), _LiveTensors(tensors) as live:
        work()
    return live.most


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, for as long as anything holds them.

    Attributes:
        now: bytes that are alive.
        most: the most that were.
    """

    def __init__(self, known: Sequence[torch.Tensor]):
        super().__init__()
        self.now = self.most = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _FusedAttention(TorchFunctionMode):
    """Attention that makes its output and no maps, as a GPU's kernel does; no kernel runs without data."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is scaled_dot_product_attention:
            return _Attended.apply(*args[:3])
        return function(*args, **(kwargs or {}))


class _Attended(torch.autograd.Function):
    """What a fused kernel keeps to differentiate: its inputs and its output."""

    @staticmethod
    def forward(ctx, query, key, value):
        attended = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, attended)
        return attended

    @staticmethod
    def backward(ctx, _gradient):
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])

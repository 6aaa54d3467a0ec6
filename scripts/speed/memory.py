"""Memory of a batch: measured where it runs, and calculated for models and GPUs that are not there."""

import ctypes
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from transformers import CLIPTokenizer

from piebench_eval.backbone.backbone import Backbone
from piebench_eval.bench.sample import Sample
from piebench_eval.demo.embedded import DEMO, locate
from piebench_eval.diffusion.control import controlled
from piebench_eval.diffusion.rows import RowBatch, plan_rows
from piebench_eval.methods import METHODS
from piebench_eval.runs.combination import Combination
from scripts.speed.models import Size, new_unet, new_vae

DECODED_AT_ONCE = 4
"""Pictures that a GPU decodes together, in float32."""


class PeakMemory:
    """The most memory that work takes beyond what lay there before: of a GPU, or on Linux of the process.

    ``taken`` is in bytes, and None where the system does not tell.
    """

    taken: int | None = None

    def __init__(self, device: torch.device):
        self._device = device

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        elif sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # what was freed earlier must not hide what is taken now
            Path("/proc/self/clear_refs").write_text("5")
            self._before = _of_process("VmRSS")
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._device.type == "cuda":
            self.taken = torch.cuda.max_memory_allocated(self._device) - self._before
        elif sys.platform == "linux":
            self.taken = _of_process("VmHWM") - self._before


def _of_process(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(kilobytes) * 1024


@dataclass(frozen=True)
class Calculated:
    """Bytes: of all weights, and the most that a sampling step, and decoding, take besides."""

    weights: int
    step: int
    decoding: int

    @property
    def total(self) -> int:
        return self.weights + max(self.step, self.decoding)


@torch.no_grad()
def calculate_memory(
    size: Size, combination: Combination, samples: Sequence[Sample], dtype: torch.dtype, side: int
) -> Calculated:
    """Add up the tensors that live in a sampling step and in decoding, on tensors that have no data.

    The step is the first, in which a method reads the most. Not counted are what a fused attention kernel
    keeps inside, what an allocator loses between tensors, and what null-text keeps to differentiate.
    """
    meta = torch.device("meta")
    with meta:
        unet, vae = new_unet(size), new_vae(size)
    torch.nn.Module.to(unet, dtype)  # diffusers' own warns of weights, and there are none
    tokenizer = CLIPTokenizer.from_pretrained(locate("model", DEMO), subfolder="tokenizer")
    backbone = Backbone(unet, vae, None, tokenizer, torch.empty(0), meta)
    latents = torch.empty(len(samples), 4, side // 8, side // 8, device=meta)

    common = combination.common
    method = METHODS.get(combination.method)
    control = method.prepare(samples, backbone, common.steps, combination.method_settings).control
    known = combination.inversion == "direct"
    reads = zip(*(control.source_reads(step) for step in range(common.steps)), strict=True)
    rows = RowBatch.of_step([plan_rows(of_sample, known, common.guidance)[0] for of_sample in reads])
    control.begin_step(0, rows, (side // 8, side // 8))
    texts = torch.empty(len(rows.owners), tokenizer.model_max_length, size.text, device=meta)

    def step() -> None:
        with controlled(unet, control):
            backbone.predict_noise(latents[rows.owners], 1, texts, rows.owners)

    def decode() -> None:
        vae.decode(latents[:DECODED_AT_ONCE])

    weights = sum(
        module.numel() * module.element_size() for net in (unet, vae) for module in net.parameters()
    )
    return Calculated(weights, _most_alive(step), _most_alive(decode))


def _most_alive(work) -> int:
    """Bytes of tensors made by some work, weights not among them, that live at the same time, at most."""
    tracker = MemTracker()
    with _FusedAttention(), tracker:
        work()
    (by_kind,) = tracker.get_tracker_snapshot("peak").values()
    weights = (_MemRefType.PARAM, _MemRefType.BUFFER)
    return int(by_kind["Total"] - sum(by_kind[kind] for kind in weights))


class _FusedAttention(TorchFunctionMode):
    """Attention that makes its output and no maps, as a GPU's kernel does; no kernel runs without data."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return function(*args, **(kwargs or {}))

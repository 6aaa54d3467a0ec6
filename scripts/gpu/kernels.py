"""Which way to run a UNet's plain call is the fastest: launched kernel by kernel or as one graph, compiled or
not, channels last or first. All are timed on the same numbers, and compared with the first.

    python -m scripts.gpu.kernels --device cuda:0 --out kernels.json

A plain call is one without a method: every call of an inversion, and those of steps in which nothing is read.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from piebench_eval.files import write_whole
from piebench_eval.models.compile import compile_blocks
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.loading import PRECISIONS
from piebench_eval.models.plain_layers import use_plain_layers
from piebench_eval.models.sd1 import StableDiffusion
from piebench_eval.models.text_projections import remember_text_projections
from scripts.gpu.graphs import GraphedCall
from scripts.speed.flops import flops_of_row, synchronize
from scripts.speed.models import SIZES, new_unet
from scripts.speed.tables import markdown

Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What the model predicts for latents ``[rows, 4, h, w]`` at a time ``[]``, for texts of its own."""

_TOKENS = 77


@dataclass(frozen=True)
class Way:
    """A way to run a call.

    Attributes:
        channels_last: how convolutions' weights lie in memory, as ``load_model`` lays them on a GPU.
        compiled: the blocks are, as by ``--compile``.
        graph: all kernels are launched as one graph.
    """

    channels_last: bool = True
    compiled: bool = False
    graph: bool = False

    @property
    def name(self) -> str:
        """For tables."""
        launched = "one graph" if self.graph else "kernel by kernel"
        return f"{'compiled' if self.compiled else 'plain'}, {launched}"


WAYS = [
    Way(),
    Way(graph=True),
    Way(channels_last=False),
    Way(channels_last=False, graph=True),
    Way(compiled=True),
    Way(compiled=True, graph=True),
]
"""The first is how edits are run. Compiled ones are the last, since they cannot be undone."""


@dataclass(frozen=True)
class Timed:
    """A way's time for a number of rows.

    Attributes:
        way: the name.
        channels_last: see ``Way``.
        rows: of the call.
        milliseconds: of a call, the median.
        milliseconds_of_host: until Python goes on: if that is as long, the device waits for the host.
        tflops: 10^12 operations per second.
        off: largest difference from the first way's output, in its standard deviations.
        seconds_before: that the first call takes, with compiling and recording.
    """

    way: str
    channels_last: bool
    rows: int
    milliseconds: float
    milliseconds_of_host: float
    tflops: float
    off: float
    seconds_before: float


def model_of_size(size: str, device: torch.device, precision: str) -> StableDiffusion:
    """A UNet of a size with random weights, in the place of a whole model."""
    torch.manual_seed(0)
    with device:
        unet = new_unet(SIZES[size]).requires_grad_(False)
    unet.to(PRECISIONS[precision])
    remember_text_projections(unet)
    use_plain_layers(unet)
    return StableDiffusion(unet=unet, text_encoder=None, vae=None, tokenizer=None, device=device)


@torch.no_grad()
def time_ways(
    model: StableDiffusion, ways: Sequence[Way], counts: Sequence[int], side: int, repeats: int
) -> Iterator[Timed]:
    """Time each way for each number of rows.

    Args:
        model: the model, whose UNet is changed by compiled ways.
        ways: in this order; the others are compared with the first.
        counts: of rows; the last alone is compiled for, which takes long.
        side: of the latents.
        repeats: how often each is timed.
    """
    flops = flops_of_row(model.unet, side)
    expected: dict[int, torch.Tensor] = {}
    for way in ways:
        layout = torch.channels_last if way.channels_last else torch.contiguous_format
        model.unet.to(memory_format=layout)
        if way.compiled:
            compile_blocks(model.unet)
        for rows in counts[-1:] if way.compiled else counts:
            recorded, timed = (_inputs(model, rows, side, time) for time in (981.0, 1.0))
            texts = _texts(model, rows)
            started = time.perf_counter()
            call = _prepared(model, texts, way, recorded)
            output = call(*timed).float()
            synchronize(model.device)
            before = time.perf_counter() - started
            whole, of_host = _seconds(call, timed, model.device, repeats)
            known = expected.setdefault(rows, output)
            yield Timed(
                way.name,
                way.channels_last,
                rows,
                1e3 * whole,
                1e3 * of_host,
                rows * flops / whole / 1e12,
                float((output - known).abs().max() / known.std()),
                before,
            )


def _prepared(
    model: StableDiffusion, texts: Conditioning, way: Way, inputs: tuple[torch.Tensor, torch.Tensor]
) -> Call:
    def call(latents: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return model.denoise(latents, at, texts)

    return GraphedCall(call, *inputs) if way.graph else call


def _inputs(
    model: StableDiffusion, rows: int, side: int, timestep: float
) -> tuple[torch.Tensor, torch.Tensor]:
    latents = torch.randn(rows, 4, side, side, generator=torch.Generator().manual_seed(int(timestep)))
    return latents.to(model.device), torch.full((), timestep, device=model.device)


def _texts(model: StableDiffusion, rows: int) -> Conditioning:
    width, generator = model.unet.config.cross_attention_dim, torch.Generator().manual_seed(0)
    return Conditioning(torch.randn(rows, _TOKENS, width, generator=generator).to(model.device))


def _seconds(
    call: Call, inputs: tuple[torch.Tensor, torch.Tensor], device: torch.device, repeats: int
) -> tuple[float, float]:
    """Of a call, and until it lets Python go on; medians."""
    whole, of_host = [], []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        call(*inputs)
        of_host.append(time.perf_counter() - started)
        synchronize(device)
        whole.append(time.perf_counter() - started)
    return statistics.median(whole), statistics.median(of_host)


def table(found: Sequence[Timed]) -> str:
    """A line per way and number of rows."""
    rows = [
        [
            one.way,
            "last" if one.channels_last else "first",
            one.rows,
            f"{one.milliseconds:.2f}",
            f"{one.milliseconds_of_host:.2f}",
            f"{one.tflops:.3g}",
            f"{one.off:.1e}",
            f"{one.seconds_before:.1f}",
        ]
        for one in found
    ]
    header = ["plain call of the UNet", "channels", "rows", "ms", "ms of the host", "TFLOP/s"]
    return markdown([*header, "off the first, max / std", "s before"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--size", choices=("tiny", "sd1"), default="sd1")
    parser.add_argument("--precision", choices=tuple(PRECISIONS), default="bf16")
    parser.add_argument("--rows", default="1,8,24", help="of a call, with commas between (%(default)s)")
    parser.add_argument("--side", type=int, default=64, help="of the latents (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=10, help="timings of each (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the table is beside it, .md")
    options = parser.parse_args(arguments)
    device, counts = torch.device(options.device), list(map(int, options.rows.split(",")))
    if device.type == "cuda":
        torch.cuda.set_device(device)  # graphs are recorded on the current one
    model = model_of_size(options.size, device, options.precision)
    ways = [way for way in WAYS if device.type == "cuda" or not way.graph]
    found = []
    heading = f"# Plain calls of {options.size}'s UNet, {options.precision}, {options.side} x {options.side}"
    for timed in time_ways(model, ways, counts, options.side, options.repeats):
        found.append(timed)
        write_whole(options.out, json.dumps([asdict(one) for one in found], indent=1).encode() + b"\n")
        text = f"{heading}\n\n{table(found)}\n"
        write_whole(options.out.with_suffix(".md"), text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

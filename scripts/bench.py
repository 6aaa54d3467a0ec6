"""Measure speed and memory on a device, beside a plain implementation of the same equations.

python scripts/bench.py --combinations direct+p2p,ddim+p2p
python scripts/bench.py --size sd1 --device cuda --precision bf16 --batch-sizes 1,4,8 --steps 50
python scripts/bench.py --size sdxl --device cuda --precision bf16 --no-baseline --combinations direct+p2p
python scripts/bench.py --size flux --device cuda --precision bf16 --resolution 512 --out pace.json
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from piebench_eval.api.arguments import names
from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole


def _numbers(text: str) -> list[int]:
    numbers = names(text)
    if not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise typer.BadParameter(f"{text!r}: write numbers from 1 up with commas between them, as 1,4,8")
    return [int(number) for number in numbers]


def main(
    size: Annotated[
        Literal["tiny", "sd1", "tiny-sdxl", "sdxl", "sd3", "sd3.5-medium", "flux"],
        typer.Option(
            help="A model of random weights: tiny, or of Stable Diffusion's or FLUX.1's own size. Of flow "
            "models, single evaluations are measured."
        ),
    ] = "tiny",
    model: Annotated[
        str | None,
        typer.Option(help="Or a model: diffusers directory, hub id, or demo."),
    ] = None,
    combinations: Annotated[
        str | None, typer.Option(help="Combinations of Table 1, with commas between them; all by default.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Sampling steps.")] = 10,
    resolution: Annotated[
        int | None, typer.Option(min=8, help="Side of the images in pixels; the model's own by default.")
    ] = None,
    batch_sizes: Annotated[str, typer.Option(help="Images per batch, with commas between them.")] = "1,2",
    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16"],
        typer.Option(
            help="Other than fp32: what it changes in the metrics is measured, on the demo world; of Stable "
            "Diffusion 1.x alone."
        ),
    ] = "fp32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            help="Time the plain implementation too, and compare latents: all rows, all maps, batch 1."
        ),
    ] = True,
    compile: Annotated[bool, typer.Option(help="Compile the UNet's blocks.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Timings of each batch size; the median counts.")] = 1,
    quick: Annotated[
        bool, typer.Option(help="Neither all combinations in a row, nor what --precision changes.")
    ] = False,
    blocks: Annotated[
        str | None,
        typer.Option(
            help="Fewer blocks of a flow model's transformer, where memory is short: FLUX.1's double and "
            "single ones, as 1,1. Their time is no pace of the model."
        ),
    ] = None,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="With --blocks: take it to all blocks, by operations.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the numbers to a JSON file, which piebench run --dry-run --pace reads."),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to a file, too.")] = None,
) -> None:
    """Measure seconds per image, UNet rows, memory and FLOP/s of Table 1's combinations; of a flow model,
    those of an evaluation.

    The tables go to stdout, as Markdown; files are written anew with each combination. Exit code 1: latents
    in float32 are not the plain ones, or a combination could not be measured.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    try:
        batches, chosen = _numbers(batch_sizes), names(combinations)
        from scripts.speed.report import Options, Report
        from scripts.speed.run import bench_any

        def keep(report: Report) -> None:
            if out is not None:
                write_whole(out, json.dumps(report.data, indent=1).encode() + b"\n")
            if markdown is not None:
                write_whole(markdown, "\n\n".join(report.sections).encode() + b"\n")

        options = Options(
            size=size,
            model=model,
            combinations=chosen,
            steps=steps,
            resolution=resolution,
            batch_sizes=batches,
            precision=precision,
            device=device,
            threads=threads,
            baseline=baseline,
            compile=compile,
            repeats=repeats,
            quick=quick,
            blocks=_numbers(blocks) if blocks else None,
            extrapolate=extrapolate,
        )
        report = bench_any(options, console, keep)
    except PiebenchError as error:
        console.print(f"error: {error}", style="red")
        raise typer.Exit(error.exit_code) from None
    typer.echo("\n\n".join(report.sections))
    if not report.same:
        console.print("error: latents are not those of the plain implementation; see the table", style="red")
    if report.failed or not report.same:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

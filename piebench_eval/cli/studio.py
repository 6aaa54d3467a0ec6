"""``piebench studio``: a local page to edit one picture by many methods side by side."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.cli.console import out
from piebench_eval.demo.embedded import DEMO


def studio(
    model: Annotated[
        str,
        typer.Option(help="Diffusers directory or hub id; demo or demo-flow for the embedded models."),
    ] = DEMO,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Benchmark folder to take samples of; an embedded model has its own.", show_default=False
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines use the page.")
    ] = "127.0.0.1",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Edit a picture in the browser: choose inversions, methods and editors, and compare.

    Needs Gradio: pip install 'piebench-eval[studio]'. Nothing is sent anywhere;
    uploaded pictures and edits are deleted when the studio ends.

    Examples:

      piebench studio

      piebench studio --model CompVis/stable-diffusion-v1-4 --data PIE-Bench_v1
    """
    from piebench_eval.studio.installed import require_gradio

    require_gradio()
    from piebench_eval.runs.machine import MachineOptions
    from piebench_eval.studio.serving import served

    with served(model, MachineOptions(devices=device), data, host, port) as address:
        out.print(f"Open: {address}  (Ctrl-C ends it)")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            out.print("ended")

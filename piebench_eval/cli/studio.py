"""``piebench studio``: a local page to edit one picture by many methods side by side."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.cli.console import out
from piebench_eval.demo.embedded import DEMO
from piebench_eval.errors import PiebenchError


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
    editor_models: Annotated[
        list[str] | None,
        typer.Option(
            "--editor-model",
            metavar="EDITOR=MODEL",
            help="Diffusers directory or hub id that an editor loads in the place of its published model, or "
            "that diffusers loads, which has none; can be repeated.",
        ),
    ] = None,
    plugins: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin",
            metavar="FILE",
            help="Python file that adds inversions, methods or editors; can be repeated.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines use the page.")
    ] = "127.0.0.1",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load weights from pickle files, which can run code.")
    ] = False,
) -> None:
    r"""Edit a picture in the browser: choose inversions, methods and editors, and compare.

    Needs Gradio: pip install 'piebench-eval\[studio]'. Nothing is sent anywhere;
    uploaded pictures and edits are deleted when the studio ends.

    Examples:

      piebench studio

      piebench studio --model CompVis/stable-diffusion-v1-4 --data PIE-Bench_v1
    """
    models = _by_editor(editor_models or [])
    from piebench_eval.studio.installed import require_gradio

    require_gradio()
    from piebench_eval.runs.machine import MachineOptions
    from piebench_eval.studio.serving import served

    machine = MachineOptions(devices=device, allow_pickle=allow_pickle)
    with served(model, machine, data, host, port, models, plugins or []) as address:
        out.print(f"Open: {address}  (Ctrl-C ends it)")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uploaded pictures are deleted then too
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            out.print("ended")


def _by_editor(given: list[str]) -> dict[str, str]:
    """The models that ``--editor-model`` gives to editors.

    Raises:
        PiebenchError: one is not written EDITOR=MODEL.
    """
    pairs = [text.partition("=") for text in given]
    for text, (editor, _, model) in zip(given, pairs, strict=True):
        if not editor or not model:
            raise PiebenchError(
                f"--editor-model {text}: write EDITOR=MODEL, for example "
                "instruct_pix2pix=timbrooks/instruct-pix2pix"
            )
    return {editor: model for editor, _, model in pairs}

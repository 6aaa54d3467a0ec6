"""Serve the page on this machine."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.demo.embedded import is_embedded
from piebench_eval.errors import PiebenchError
from piebench_eval.studio.installed import require_gradio
from piebench_eval.studio.intake import MAX_MEGAPIXELS
from piebench_eval.studio.session import Studio
from piebench_eval.studio.worker import Request, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from piebench_eval.runs.machine import MachineOptions


_MAX_UPLOAD = f"{4 * MAX_MEGAPIXELS}mb"
_MAX_EVENTS = 200
"""That go on at once: an open page is one, and an edit that it waits for another."""


@contextmanager
def served(
    model: str, machine: MachineOptions, data: Path | None = None, host: str = "127.0.0.1", port: int = 7860
) -> Iterator[str]:
    """Serve the page while the context lasts; uploaded pictures and edits are deleted at its end.

    Args:
        model: diffusers directory, hub id, or an embedded model's name.
        machine: on what and how is edited.
        data: a benchmark's folder; None for the embedded one of an embedded model, and else for none.
        host: the address to listen at.
        port: the port; 0 for a free one.

    Yields:
        The page's address.

    Raises:
        PiebenchError: Gradio is not installed, the benchmark cannot be read, or the port is taken.
    """
    require_gradio()
    from piebench_eval.studio.page import build_page
    from piebench_eval.studio.page_style import CSS, THEME

    with tempfile.TemporaryDirectory(prefix="piebench-studio-") as name:
        folder = Path(name)
        if data is None and is_embedded(model):
            samples = load_pie_bench(embedded_benchmark(folder / "benchmark"))
        else:
            samples = [] if data is None else load_pie_bench(data)
        _reach_directly(host)
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")  # where it puts what is uploaded
        studio, worker = Studio(model, machine, folder, samples, data), Worker()
        loading = Request([studio.warm_up], loads_model=True)
        worker.submit(loading)
        page = build_page(studio, worker)
        allowed = [str(folder), *([] if data is None else [str(data.resolve())])]
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port or _free_port(host),
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                pwa=False,
                run_history=False,
                footer_links=[],
                theme=THEME,
                css=CSS,
                allowed_paths=allowed,
                max_file_size=_MAX_UPLOAD,
                max_threads=_MAX_EVENTS,
            )
        except OSError as error:
            raise PiebenchError(f"--host {host} --port {port}: {error}; choose another --port") from None
        if is_embedded(model):
            for _ in loading.updates(1):  # a few seconds, of which the page has taken most
                pass
        try:
            yield address
        finally:
            page.close()


def _reach_directly(host: str) -> None:
    """Let Gradio ask its own server whether it is there by no proxy, as it would by the environment's."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "localhost", "127.0.0.1", host]))


def _free_port(host: str) -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind((host, 0))
        port: int = one.getsockname()[1]
        return port

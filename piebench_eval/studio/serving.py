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
    from collections.abc import Iterator, Mapping, Sequence

    import gradio as gr

    from piebench_eval.runs.machine import MachineOptions


_MAX_UPLOAD = f"{4 * MAX_MEGAPIXELS}mb"
_MAX_EVENTS = 200
"""That go on at once: an open page is one, and an edit that it waits for another."""


@contextmanager
def served(
    model: str,
    machine: MachineOptions,
    data: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    editor_models: Mapping[str, str] | None = None,
    plugins: Sequence[Path] = (),
) -> Iterator[str]:
    """Serve the page while the context lasts; uploaded pictures and edits are deleted at its end.

    Args:
        model: diffusers directory, hub id, or an embedded model's name.
        machine: on what and how is edited.
        data: a benchmark's folder; None for the embedded one of an embedded model, and else for none.
        host: the address to listen at.
        port: the port; 0 for a free one.
        editor_models: models of editors that load their own, see ``models_of_editors``.
        plugins: files that add inversions, methods and editors.

    Yields:
        The page's address.

    Raises:
        PiebenchError: Gradio is not installed, the benchmark or a plugin cannot be read, an editor is
            unknown, or the port is taken.
    """
    require_gradio()
    from piebench_eval.studio.page import build_page

    with tempfile.TemporaryDirectory(prefix="piebench-studio-") as name:
        folder = Path(name)
        if data is None and is_embedded(model):
            samples = load_pie_bench(embedded_benchmark(folder / "benchmark"))
        else:
            samples = [] if data is None else load_pie_bench(data)
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")  # where it puts what is uploaded
        studio, worker = Studio(model, machine, folder, samples, data, editor_models, plugins), Worker()
        loading = Request([studio.warm_up], loads_model=True)
        worker.submit(loading)
        page = build_page(studio, worker)
        try:
            address = _launched(page, host, port, [folder, *([] if data is None else [data.resolve()])])
        except PiebenchError:
            worker.close()
            raise
        if is_embedded(model):
            for _ in loading.updates(1):  # a few seconds, of which the page has taken most
                pass
        try:
            yield address
        finally:
            page.close()
            worker.close()


def _launched(page: gr.Blocks, host: str, port: int, readable: Sequence[Path]) -> str:
    """Begin to serve a page, and say at which address.

    Args:
        page: what is served.
        host: see ``served``.
        port: likewise.
        readable: folders whose pictures the page may show.

    Raises:
        PiebenchError: the address cannot be listened at.
    """
    from piebench_eval.studio.page_style import CSS, THEME

    ask_no_proxy_for(host)
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
            allowed_paths=[str(folder) for folder in readable],
            max_file_size=_MAX_UPLOAD,
            max_threads=_MAX_EVENTS,
        )
    except OSError:
        raise PiebenchError(
            f"--host {host} --port {port}: cannot be listened at, since somebody does already, or it is "
            "no address of this machine; choose another --port or --host"
        ) from None
    return str(address)


def ask_no_proxy_for(host: str) -> None:
    """Have Gradio, which asks its own server whether it is there, ask no proxy for that."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [name.strip() for name in known.split(",") if name.strip()]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "localhost", "127.0.0.1", host]))


def _free_port(host: str) -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind((host, 0))
        port: int = one.getsockname()[1]
        return port

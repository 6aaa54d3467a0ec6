"""A connection between a page and its server on which news come late, as on a busy machine."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

STREAM = b"GET /gradio_api/queue/data"


@contextmanager
def slow_stream(address, seconds):
    """Yields an address like the page's, at which its stream of news comes later than answers do."""
    host, port = address.removeprefix("http://").strip("/").split(":")
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, (host, int(port)), seconds), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def _accept(server, target, seconds):
    with suppress(OSError):  # at the end
        while True:
            page, _ = server.accept()
            own = socket.create_connection(target)
            is_stream = threading.Event()
            for pump in (_requests, _answers):
                threading.Thread(target=pump, args=(page, own, is_stream, seconds), daemon=True).start()


def _requests(page, own, is_stream, seconds):
    with suppress(OSError):
        while sent := page.recv(1 << 16):
            if sent.startswith((b"GET ", b"POST ")):
                (is_stream.set if sent.startswith(STREAM) else is_stream.clear)()
            own.sendall(sent)
        own.shutdown(socket.SHUT_WR)


def _answers(page, own, is_stream, seconds):
    with page, own, suppress(OSError):
        while got := own.recv(1 << 16):
            if is_stream.is_set():
                time.sleep(seconds)
            page.sendall(got)

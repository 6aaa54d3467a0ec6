"""Pages in Debian's chromium, driven by playwright: fixtures for tests that are marked ``browser``."""

from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FIRST_PAINT_MS = 1000


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}; apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens pages, and finds at the end that nothing went wrong and nothing was asked for but files."""
    yield from _opened_pages(chromium, ("file:",))


@pytest.fixture
def open_local_page(chromium):
    """Likewise of pages that this machine serves."""
    yield from _opened_pages(chromium, ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def _opened_pages(chromium, allowed):
    problems, contexts = [], []

    def opened(address, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)  # a busy machine draws Gradio's page late
        page.on("console", lambda message: _note_message(message, problems))
        page.on("pageerror", lambda error: problems.append(f"{error} {error.stack}"))
        page.on("requestfailed", lambda request: _note_failed(request, problems))
        page.on("request", lambda request: _require_allowed(request.url, allowed, problems))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == [], problems


def _note_message(message, problems):
    # What Gradio's page says when it closes a stream of news on an upload.
    if message.type != "log" and message.text != "Method not implemented.":
        problems.append(message.text)


def _note_failed(request, problems):
    # Gradio's page closes its streams of news when it has them all.
    streams = ("/gradio_api/queue/data?", "/gradio_api/upload_progress?")
    if not (request.failure == "net::ERR_ABORTED" and any(stream in request.url for stream in streams)):
        problems.append(f"failed: {request.url}")


def _require_allowed(url, allowed, problems):
    if not url.startswith(allowed):
        problems.append(f"asked for {url}")

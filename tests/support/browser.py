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
        page.set_default_timeout(10_000)
        page.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: _note_failed(request, problems))
        page.on("request", lambda request: _require_allowed(request.url, allowed, problems))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def _note_failed(request, problems):
    # Gradio's page closes its stream of news when it has them all.
    if not (request.failure == "net::ERR_ABORTED" and "/gradio_api/queue/data?" in request.url):
        problems.append(f"failed: {request.url}")


def _require_allowed(url, allowed, problems):
    if not url.startswith(allowed):
        problems.append(f"asked for {url}")

"""Take the pictures of the studio that README.md shows: docs/studio.png and docs/studio-inside.png.

Needs the extras studio and browser, and chromium.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio.serving import served

CHROMIUM = "/usr/bin/chromium"
DOCS = Path(__file__).parents[1] / "docs"
SAMPLE = "100000000000"
COMBINATIONS = ("ddim+p2p", "edit_friendly+p2p", "direct+masactrl", "sdedit")
"""Beside the first choice."""


def main() -> None:
    """Edit a sample by several combinations, and take the page in light and the inside of one in dark."""
    with served("demo", MachineOptions(devices="cpu"), port=0) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        page.goto(address)
        edit(page)
        save(page.locator(".gradio-container").first, DOCS / "studio.png", height=1180)
        page.emulate_media(color_scheme="dark")
        page.locator("#edits button").nth(1).click()
        page.get_by_role("button", name="Look inside").click()
        page.locator("#inside img").nth(len(COMBINATIONS)).wait_for()
        page.wait_for_timeout(1000)
        save(page.locator("#inside"), DOCS / "studio-inside.png", height=900)
        browser.close()


def edit(page: Page) -> None:
    """Take the sample, choose, and wait for all edits."""
    page.get_by_label("Search the benchmark").fill(SAMPLE)
    page.get_by_label("Sample", exact=True).click()
    page.get_by_role("option").first.click()
    page.locator("#words mark").first.wait_for()
    field = page.get_by_label("Combinations and editors")
    for name in COMBINATIONS:
        field.fill(name)
        page.get_by_role("option", name=name, exact=True).wait_for()
        field.press("Enter")
        field.blur()
        page.wait_for_timeout(300)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator("#edits img").nth(len(COMBINATIONS) + 1).wait_for(timeout=600_000)
    page.wait_for_timeout(1000)


def save(part: Locator, file: Path, height: int | None) -> None:
    """Write a part of the page as a small PNG, from its top as high as is said."""
    with Image.open(io.BytesIO(part.screenshot())) as image:
        shown = image.crop((0, 0, image.width, min(height or image.height, image.height)))
        shown.convert("RGB").quantize(256).save(file, optimize=True)


if __name__ == "__main__":
    main()

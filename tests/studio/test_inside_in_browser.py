"""The studio's look inside an edit, in Debian's chromium; only with -m browser."""

import pytest

from tests.studio.test_browser import EDIT_MS, address, choose, edits, press, take_sample  # noqa: F401

pytestmark = pytest.mark.browser


def test_words_film_and_reconstruction_are_shown_for_the_edit_that_is_looked_at(
    open_local_page,
    address,  # noqa: F811
):
    page = open_local_page(address)
    take_sample(page)
    press(page, "Edit")
    edits(page).nth(1).wait_for(timeout=EDIT_MS)
    choose(page, "ddim+plain")
    press(page, "Edit")
    edits(page).nth(2).wait_for(timeout=EDIT_MS)
    page.get_by_role("button", name="Look inside").click(timeout=EDIT_MS)
    inside = page.locator(".inside").first
    edits(page).nth(1).click()
    inside.get_by_text("direct+p2p: the target prompt's words").wait_for()
    target = page.get_by_label("Target prompt").input_value().split()
    words = inside.locator(".shelf").first.locator("figcaption").all_text_contents()
    assert [word.partition("up to")[0] for word in words] == target
    assert inside.locator(".film img").count() == 8
    inside.get_by_text("PSNR to the source").wait_for()
    widths = inside.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert min(widths) > 0

    edits(page).nth(2).click()
    inside.get_by_text("ddim+plain: the target prompt's words").wait_for()
    inside.get_by_text("The edit does not evaluate the source branch").wait_for()
    press(page, "Sample the source branch to its end")
    page.get_by_text("PSNR to the source").wait_for(timeout=EDIT_MS)
    page.locator("#reconstruct").wait_for(state="hidden")

    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

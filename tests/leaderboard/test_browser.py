"""The leaderboard's page in a browser; only with -m browser."""

import pytest

from piebench_eval.leaderboard.page import write_board
from piebench_eval.published.rows import published_rows
from tests.support.browser import FIRST_PAINT_MS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(board_with_own, tmp_path_factory):
    return write_board(board_with_own, tmp_path_factory.mktemp("page") / "board").as_uri()


def shown_rows(page):
    return page.locator("#board-table tr[data-row]:visible")


def drawn(page):
    page.locator("#board-plot .scatterlayer .point").first.wait_for()
    return page.locator("#board-plot .scatterlayer .point")


def test_all_rows_are_painted_within_a_second(open_page, address):
    page = open_page(address)
    page.wait_for_function("window.Plotly !== undefined")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint after {painted:.0f} ms")
    assert painted < FIRST_PAINT_MS
    assert shown_rows(page).count() == len(published_rows()) + 2


def test_the_plot_has_a_point_for_every_row_with_both_metrics(open_page, address):
    page = open_page(address)
    both = sum({"psnr", "clip_whole"} <= set(row.numbers) for row in published_rows())
    assert drawn(page).count() == both + 2
    assert page.locator("#board-plot path.xerror").count() == 2, "one's own rows have intervals"
    page.get_by_role("combobox", name="Edit", exact=True).select_option(label="CLIP edited ↑")
    other = sum({"psnr", "clip_edit"} <= set(row.numbers) for row in published_rows())
    page.wait_for_function(f"document.querySelectorAll('#board-plot .point').length === {other + 2}")


def test_filters_leave_rows_points_and_their_spread(open_page, address):
    page = open_page(address)
    drawn(page)
    page.get_by_role("combobox", name="Family").select_option("flux")
    flux = [row for row in published_rows() if row.family == "flux"]
    assert shown_rows(page).count() == len(flux) + 2
    page.get_by_role("combobox", name="Images").select_option("620")
    left = [row for row in flux if row.images == 620]
    assert shown_rows(page).count() == len(left) + 2
    spread = page.locator("#board-table tr.spread:visible", has_text="RF-Solver-Edit")
    assert "24.44 to 27.81" in spread.text_content()
    page.get_by_role("searchbox").fill("layerverse")
    assert spread.count() == 0
    assert page.locator("#count").text_content().startswith(f"{shown_rows(page).count()} of ")


def test_a_click_on_a_heading_sorts_groups_by_their_median(open_page, address):
    page = open_page(address)
    first = page.locator("#board-table tbody tr").first
    before = first.text_content()
    page.get_by_role("button", name="PSNR").click()
    assert "SpotEdit" not in first.text_content() and "37.65" in first.text_content()
    page.get_by_role("button", name="PSNR").click()
    assert "14.63" in first.text_content()
    page.get_by_role("button", name="PSNR").click()
    assert first.text_content() == before


def test_a_point_tells_its_source_and_leads_to_its_row(open_page, address):
    page = open_page(address)
    drawn(page)
    page.get_by_role("searchbox").fill("VARIN, tau 18")
    page.wait_for_function("document.querySelectorAll('#board-plot .point').length === 3")
    page.locator("#board-plot .scatterlayer .trace").first.locator(".point").hover(force=True)
    hover = page.locator("#board-plot .hovertext")
    hover.wait_for()
    assert all(word in hover.text_content() for word in ("VARIN", "HART", "2604.14591", "scored at 512 px"))
    page.mouse.down()
    page.mouse.up()
    page.locator("tr.pointed", has_text="VARIN, tau 18").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_the_page_sideways(open_page, address, scheme):
    page = open_page(address, viewport={"width": 360, "height": 700}, color_scheme=scheme)
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")

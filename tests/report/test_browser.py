"""The page in a browser: Debian's chromium, driven by playwright; only with -m browser."""

from __future__ import annotations

import os
import shutil

import pytest

from piebench_eval.report import paths
from piebench_eval.report.build import build_report, write_page
from piebench_eval.report.links import links_of
from piebench_eval.report.thumbnails import thumbnail_jobs
from tests.report.synthetic import (
    HOSTILE,
    PAIRS,
    draw_pictures,
    sample,
    score_rows,
    scored_run,
    whole_benchmark,
)
from tests.support.browser import FIRST_PAINT_MS

pytestmark = pytest.mark.browser

SAMPLES = 24


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """24 samples, one of them hostile, of twelve combinations and the untouched sources."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    samples = [sample(number, folder) for number in range(SAMPLES)]
    samples[3] = sample(3, folder, prompt=HOSTILE)
    pairs = [*PAIRS, ("", "source-copy")]
    rows = score_rows(samples, pairs)
    rows.loc[rows["method"] == "source-copy", "psnr_unedit_part"] = float("inf")
    made = scored_run(folder, samples, pairs, rows)
    draw_pictures(made)
    return made


@pytest.fixture(scope="module")
def report(run):
    return build_report(run, run.folder / "report").page.as_uri()


def order_of_rows(page):
    return page.locator("#means-table tbody tr").evaluate_all(
        "rows => rows.map(row => `${row.cells[1].textContent}+${row.cells[0].textContent}`)"
    )


def facts(page):
    return page.locator(".card .facts").all_text_contents()


def choose(page, label, value):
    field(page, label).select_option(value)


def field(page, label):
    return page.get_by_role("combobox", name=label, exact=True)


def samples_of(page):
    return page.locator(".card").evaluate_all(
        "cards => cards.map(card => card.href.match(/sample=(\\d+)/)[1])"
    )


def heading(page):
    return page.locator("#sample-heading").text_content()


def psnr_of(run, name):
    inversion, _, method = name.partition("+")
    rows = run.score_table.rows
    return rows[(rows["inversion"] == inversion) & (rows["method"] == method)].set_index("id")[
        "psnr_unedit_part"
    ]


def test_a_click_on_a_heading_sorts_best_first_then_worst_first_then_as_table_1(open_page, report, run):
    page = open_page(report)
    original = order_of_rows(page)
    means = run.score_table.means
    edits = means[means["inversion"] != ""].sort_values("lpips")
    best_first = [f"{row.inversion}+{row.method}" for row in edits.itertuples()]
    button = page.get_by_role("button", name="LPIPS")
    head = page.locator("#means-table th", has_text="LPIPS")
    button.click()
    assert [name for name in order_of_rows(page) if not name.startswith("+")] == best_first
    assert head.get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    assert [name for name in order_of_rows(page) if not name.startswith("+")] == best_first[::-1]
    assert head.get_attribute("aria-sort") == "descending"
    button.click()
    assert order_of_rows(page) == original and head.get_attribute("aria-sort") is None
    page.get_by_role("button", name="PSNR").click()
    assert order_of_rows(page)[0] == "+source-copy"  # whose mean is infinite
    assert page.locator("#means-table [aria-sort]").count() == 1


def test_the_plot_has_a_point_with_bars_for_every_combination(open_page, report):
    page = open_page(report)
    page.locator("#tradeoff-plot .scatterlayer .point").first.wait_for()
    page.get_by_label("95% intervals").check()
    assert page.locator("#tradeoff-plot .scatterlayer .point").count() == 13
    assert page.locator("#tradeoff-plot path.xerror").count() == 13
    assert page.locator("#tradeoff-plot .legendtext").all_text_contents() == [
        "p2p",
        "masactrl",
        "pnp",
        "no edit",
    ]
    choose(page, "Preservation", "1")
    page.get_by_text("Not shown, for lack of a finite mean: source-copy.").wait_for()
    assert page.locator("#tradeoff-plot .scatterlayer .point").count() == 12
    assert "PSNR" in page.locator("#tradeoff-plot .xtitle").text_content()


def test_in_each_column_of_the_types_better_cells_stand_out_more(open_page, report):
    for scheme, boldest in (("light", min), ("dark", max)):
        page = open_page(report, color_scheme=scheme)
        assert page.locator("#types-legend span").count() == 5
        assert "source-copy" not in page.locator("#types-table").text_content()
        for metric, best in (("0", min), ("1", max)):
            page.locator("#types-controls select").select_option(metric)
            cells = page.locator("#types-table tbody td").evaluate_all(
                "cells => cells.map(one => [Number(one.textContent), getComputedStyle(one).backgroundColor])"
            )
            assert len(cells) == 12 * 10
            for column in range(10):
                shades = {
                    number: sum(map(int, color[4:-1].split(","))) for number, color in cells[column::10]
                }
                assert shades[best(shades)] == boldest(shades.values())
                assert len(set(shades.values())) > 6


def test_labels_of_the_plot_cover_nothing(open_page, report):
    for width in (390, 900, 1400):
        page = open_page(report, viewport={"width": width, "height": 800})
        labels = page.locator("#tradeoff-plot .annotation-text-g")
        labels.first.wait_for()
        boxes = labels.evaluate_all(
            "all => all.map(one => one.getBoundingClientRect()).map(({left, right, top, bottom}) => "
            "[left, right, top, bottom])"
        )
        assert len(boxes) >= 10 and max(right for _, right, _, _ in boxes) <= width
        for place, (left, right, top, bottom) in enumerate(boxes):
            for other in boxes[:place]:
                assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top


def test_every_preservation_metric_is_offered(open_page, report):
    offered = field(open_page(report), "Preservation").locator("option").all_text_contents()
    assert [text.split()[0] for text in offered] == ["Struct.", "PSNR", "LPIPS", "MSE", "SSIM"]


def test_differences_are_to_the_chosen_baseline(open_page, report, run):
    page = open_page(report)
    field(page, "Baseline").select_option(label="direct+pnp")
    names = page.locator("#versus-table tbody th").all_text_contents()
    assert len(names) == 12 and "direct+pnp" not in names
    cell = page.locator("#versus-table tbody tr").nth(names.index("ddim+p2p")).locator("td").nth(1)
    expected = psnr_of(run, "ddim+p2p").mean() - psnr_of(run, "direct+pnp").mean()
    assert float(cell.text_content().split(".")[0]) == pytest.approx(expected, abs=1)
    assert " to " in cell.locator("small").text_content()


def test_a_wide_table_says_so_and_keeps_its_names_in_view(open_page, report):
    page = open_page(report, viewport={"width": 390, "height": 800})
    hint = page.locator("#means .hint")
    hint.wait_for()
    page.locator("#means .scroll").evaluate("box => box.scrollTo(10000, 0)")
    for cell in page.locator("#means-table tbody tr").first.locator("th, td.name").all():
        assert 0 <= cell.bounding_box()["x"] < 200
    wide = open_page(report, viewport={"width": 1400, "height": 800})
    assert not wide.locator("#means .hint").is_visible()


def test_a_sample_is_a_row_of_all_its_edits(open_page, report):
    page = open_page(report)
    rows = page.locator("#gallery-cards .row")
    assert rows.count() == 20
    assert rows.first.locator(".cell").count() == 1 + 13
    assert page.locator("#gallery-count").text_content() == f"{SAMPLES} samples, {SAMPLES * 13} edits"
    choose(page, "Order by", "psnr")
    page.wait_for_url("**#sort=psnr")
    assert rows.first.locator(".score").all_text_contents()[1] != ""
    choose(page, "Show", "edits")
    page.get_by_text(f"{SAMPLES * 13} edits", exact=True).wait_for()
    assert page.locator(".card").count() == 60
    page.go_back()
    rows.first.locator(".cell").nth(3).click()
    page.locator(".edit[aria-current=true]").wait_for()
    assert page.locator(".edit[aria-current=true] strong").text_content() == "edit_friendly+p2p"


def test_the_table_is_downloaded(chromium, report):
    page = chromium.new_page()
    page.goto(report)
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="CSV").click()
    assert "direct" in downloaded.value.path().read_text()
    page.close()


def test_filters_leave_what_they_name_and_go_into_the_address(open_page, report):
    page = open_page(f"{report}#view=edits")
    count = page.locator("#gallery-count")
    assert count.text_content() == f"{SAMPLES * 13} edits"
    assert page.locator(".card").count() == 60
    choose(page, "Edits", "combination direct+p2p")
    page.get_by_text(f"{SAMPLES} edits", exact=True).wait_for()
    assert all(text.startswith("direct+p2p") for text in facts(page))
    choose(page, "Editing type", "1")
    page.get_by_text("3 edits", exact=True).wait_for()
    assert samples_of(page) == [f"{number:012d}" for number in (1, 11, 21)]
    assert page.url.endswith("#combination=direct+p2p&type=1&view=edits")
    choose(page, "Edits", "method pnp")
    page.get_by_text("12 edits", exact=True).wait_for()
    assert all("+pnp" in text for text in facts(page))


def test_a_row_without_an_inversion_is_offered_once(open_page, report):
    choices = field(open_page(f"{report}#gallery"), "Edits").locator("option").all_text_contents()
    assert choices.count("source-copy") == 1 and choices.count("pnp") == 1


@pytest.mark.parametrize("order", ["worst", "best"])
def test_edits_are_ordered_by_a_metric(open_page, report, run, order):
    page = open_page(f"{report}#combination=direct+p2p&sort=psnr&order={order}&view=edits")
    expected = psnr_of(run, "direct+p2p").sort_values(ascending=order == "worst")
    assert samples_of(page) == expected.index.tolist()
    assert facts(page)[0] == f"direct+p2p, PSNR ↑ {float(f'{expected.iloc[0]:.4g}'):.2f}"


def test_pages_hold_60_cards_and_turn(open_page, report):
    page = open_page(f"{report}#view=edits")
    page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_text("page 2 of 6").wait_for()
    assert samples_of(page)[0] == f"{60 // 13:012d}"
    page.go_back()
    page.get_by_text("page 1 of 6").wait_for()
    assert page.get_by_role("button", name="Previous", exact=True).is_disabled()


def test_pictures_wait_until_they_are_near(open_page, report):
    page = open_page(f"{report}#view=edits")
    images = page.locator(".card img")
    assert set(images.evaluate_all("images => images.map(image => image.loading)")) == {"lazy"}
    assert all(images.evaluate_all("images => images.map(image => image.alt)"))


def test_a_deep_link_shows_its_sample_and_keeps_the_filters(open_page, report, run):
    page = open_page(f"{report}#sample=000000000001&combination=direct+p2p&type=1&sort=psnr&view=edits")
    assert heading(page) == "Sample 000000000001"
    assert page.locator(".edit[aria-current=true] strong").text_content() == "direct+p2p"
    assert page.locator(".edit").count() == 13
    page.keyboard.press("Escape")
    page.locator("#overview").wait_for()
    assert page.url.endswith("#combination=direct+p2p&type=1&sort=psnr&view=edits")
    expected = psnr_of(run, "direct+p2p").loc[[f"{number:012d}" for number in (1, 11, 21)]].sort_values()
    assert samples_of(page) == expected.index.tolist()


@pytest.mark.parametrize(
    "hash", ["#sample=nobody&type=77&sort=x", "#%", "#=&&sample", "#type=%E0%A4%A", "#nowhere"]
)
def test_an_address_that_names_nothing_shows_the_overview(open_page, report, hash):
    page = open_page(report + hash)
    assert page.locator("#gallery-count").text_content() == f"{SAMPLES} samples, {SAMPLES * 13} edits"


def test_a_section_is_reached_from_a_sample(open_page, report):
    page = open_page(f"{report}#sample=000000000001&type=1")
    page.get_by_role("link", name="Means").click()
    page.locator("#means-table").wait_for()
    assert field(page, "Editing type").input_value() == "1"


def test_arrow_keys_go_through_the_samples_in_the_gallerys_order(open_page, report, run):
    ids = psnr_of(run, "direct+p2p").sort_values().index.tolist()
    page = open_page(f"{report}#combination=direct+p2p&sort=psnr&view=edits")
    page.locator(".card").first.click()
    assert heading(page) == f"Sample {ids[0]}"
    for key, index in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        page.get_by_role("heading", name=f"Sample {ids[index]}").wait_for()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("heading", name=f"Sample {ids[0]}").wait_for()
    page.keyboard.press("ArrowLeft")  # there is none before
    assert heading(page) == f"Sample {ids[0]}"
    assert page.get_by_role("button", name="← Previous").is_disabled()


def test_back_and_forward_go_where_one_was(open_page, report):
    page = open_page(f"{report}#view=edits")
    choose(page, "Editing type", "2")
    page.locator(".card").first.click()
    page.get_by_role("heading", name="Sample 000000000002").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Sample 000000000012").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Sample 000000000002").wait_for()
    page.go_back()
    page.locator("#gallery-count", has_text=f"{3 * 13} edits").wait_for()
    page.go_back()
    page.locator("#gallery-count", has_text=f"{SAMPLES * 13} edits").wait_for()
    assert field(page, "Editing type").input_value() == ""
    page.go_forward()
    page.go_forward()
    page.get_by_role("heading", name="Sample 000000000002").wait_for()


@pytest.mark.parametrize(
    ("address", "cards", "sample"), [("", ".cell", 40 // 14), ("#view=edits", ".card", 40 // 13)]
)
def test_the_overview_is_where_it_was_left(open_page, report, address, cards, sample):
    page = open_page(f"{report}{address}")
    card = page.locator(cards).nth(40)
    card.scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    card.click()
    page.locator("#sample-heading").wait_for()
    page.keyboard.press("Escape")
    page.locator("#overview").wait_for()
    assert page.evaluate("scrollY") == pytest.approx(place, abs=2)
    assert f"sample={sample:012d}" in page.evaluate("document.activeElement.href")


def test_the_slider_uncovers_the_source(open_page, report):
    page = open_page(f"{report}#sample=000000000001")
    slider = page.get_by_role("slider")

    def cut():
        return page.locator(".compare .over").evaluate("image => getComputedStyle(image).clipPath")

    assert cut() == "inset(0px 0px 0px 50%)"
    slider.fill("80")
    assert cut() == "inset(0px 0px 0px 80%)"
    slider.focus()
    page.keyboard.press("ArrowLeft")  # the slider's own, and no step to another sample
    assert cut() == "inset(0px 0px 0px 79%)" and heading(page) == "Sample 000000000001"
    box = page.locator(".compare").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    assert int(slider.input_value()) == pytest.approx(25, abs=3)
    page.locator(".edit", has_text="ddim+pnp").click()
    page.locator(".edit[aria-current=true]", has_text="ddim+pnp").wait_for()
    assert int(page.get_by_role("slider").input_value()) == pytest.approx(25, abs=3)
    assert "ddim+pnp" in page.locator(".compare .over").get_attribute("src")


def test_the_full_pictures_and_the_mask_are_shown(open_page, report):
    page = open_page(f"{report}#sample=000000000001")
    images = page.locator(".compare img")
    page.wait_for_function(
        "[...document.querySelectorAll('.compare img')].every(image => image.naturalWidth > 0)"
    )
    assert images.count() == 3
    assert page.locator(".compare .over").get_attribute("src").startswith("../images/ddim+p2p/")
    page.get_by_label("mask outline").uncheck()
    assert not page.locator(".compare .outline").is_visible()


def test_a_report_without_its_run_shows_thumbnails(chromium, report, run, tmp_path):
    shutil.copytree(run.folder / "report", tmp_path / "alone")
    page = chromium.new_page()
    page.goto(f"{(tmp_path / 'alone' / paths.PAGE).as_uri()}#sample=000000000001")
    page.get_by_text("this is the thumbnail").wait_for()
    page.wait_for_function("document.querySelector('.compare .over').naturalWidth > 0")
    page.close()


def test_marked_words_are_marked_and_hostile_prompts_are_text(open_page, report):
    page = open_page(f"{report}#sample=000000000001")
    assert page.locator(".prompts mark").all_text_contents() == ["animal number 1", "statue number 1"]
    page = open_page(f"{report}#sample=000000000003")
    marks = ["</script><script>fail()</script>", "cat"]
    assert page.locator(".prompts mark").all_text_contents() == marks * 2
    assert page.locator("#sample script, #sample img[src=x]").count() == 0
    assert "<img src=x onerror=fail()>" in page.locator(".compare img").first.get_attribute("alt")


def test_the_table_is_readable_without_javascript(open_page, report):
    page = open_page(report, java_script_enabled=False)
    assert page.locator("#means-table").is_visible()
    assert page.locator("#means-table tbody tr").count() == 13
    assert page.locator("#gallery noscript p").is_visible()
    assert not page.get_by_text("Click a heading to sort").is_visible()


@pytest.mark.parametrize("hash", ["", "#sample=000000000001"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_the_page_sideways(open_page, report, scheme, hash):
    page = open_page(report + hash, viewport={"width": 360, "height": 700}, color_scheme=scheme)
    page.wait_for_function("window.Plotly !== undefined")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")


@pytest.mark.parametrize("hash", ["", "#sample=000000000333&sort=psnr"])
def test_the_whole_benchmark_is_painted_within_a_second(open_page, tmp_path, hash):
    run = whole_benchmark(tmp_path / "run")
    folder = tmp_path / "run" / "report"
    folder.mkdir(parents=True)
    draw_pictures(run)
    write_page(run, links_of(run, folder), [], folder)
    for item in thumbnail_jobs(run):  # one picture in the place of all: this test is of the page
        for path in filter(None, (item.thumbnail, item.copy, item.outlined and item.outlined[1])):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(run.samples[0].file, folder / path)
    page = open_page((folder / paths.PAGE).as_uri() + hash)
    page.wait_for_function("window.Plotly !== undefined")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint after {painted:.0f} ms")
    assert painted < FIRST_PAINT_MS
    assert page.locator(".row").count() == (0 if hash else 20)

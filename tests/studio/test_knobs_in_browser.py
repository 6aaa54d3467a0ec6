"""Controls in a browser: what is typed quickly or pasted counts; only with -m browser."""

import pytest

from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio.serving import served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("gradio")
    with served("demo", MachineOptions(devices="cpu"), port=0) as found:
        yield found


def test_what_is_pasted_and_what_is_typed_quickly_is_set(open_local_page, address):
    page = open_local_page(address)
    page.get_by_label("Search").fill("0000")
    page.get_by_label("Sample", exact=True).click()
    page.get_by_role("option").first.click()
    for name in ("Settings", "Shared by all", "Copy as command"):
        page.get_by_role("button", name=name).click()
    resolution = page.locator("[id='resolution'] textarea, [id='resolution'] input").first
    assert resolution.input_value() == ""  # where Gradio's numbers show 0
    resolution.fill("64")
    page.locator("[id='guidance'] input").fill("")
    page.locator("[id='guidance'] input").press_sequentially("3.25")
    page.locator("[id='method.p2p.cross_replace_steps'] input[type=number]").fill("7")
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Show the commands for what is set", exact=True).click()
    shell = page.locator("#shell textarea")
    page.wait_for_function("element => element.value !== ''", arg=shell.element_handle())
    assert "--set resolution=64" in shell.input_value() and "--set guidance=3.25" in shell.input_value()
    assert "--set method.p2p.cross_replace_steps=1" in shell.input_value()  # the slider's end

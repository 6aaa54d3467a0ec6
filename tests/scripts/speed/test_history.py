"""The figure of speed over time is that of the results in the repository."""

import xml.etree.ElementTree

import pandas as pd
import pytest

from scripts.speed.history import FIGURE, RESULTS, figure

SVG = "{http://www.w3.org/2000/svg}"


def test_the_figure_in_the_documentation_is_up_to_date():
    results = pd.read_csv(RESULTS)
    drawn = figure(results)
    assert FIGURE.read_text() == drawn, "run: python -m scripts.speed.history"
    texts = [text.text for text in xml.etree.ElementTree.fromstring(drawn).iter(f"{SVG}text")]
    assert {f"{times:g}" for times in results["times"]} <= set(texts)
    assert set(results["combination"]) | set(results["measurement"]) <= set(texts)


def test_a_bar_is_as_high_as_its_number():
    results = pd.DataFrame({"measurement": ["one", "two"], "combination": ["a", "a"], "times": [2.0, 6.0]})
    bars = [
        float(bar.attrib["height"])
        for bar in xml.etree.ElementTree.fromstring(figure(results)).iter(f"{SVG}rect")
    ]
    assert 3 * bars[-2] == pytest.approx(bars[-1], abs=0.2)  # written with one decimal

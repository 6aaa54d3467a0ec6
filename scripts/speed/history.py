"""A figure of how many times less than the published code an edit costs, by measurement.

    python -m scripts.speed.history

Reads results/bench/beside-published.csv, whose columns are measurement, device, combination and times, and
writes docs/speed-history.svg.
"""

from pathlib import Path

import pandas as pd

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "results" / "bench" / "beside-published.csv"
FIGURE = REPOSITORY / "docs" / "speed-history.svg"

_COLOURS = ["#9ecae1", "#4292c6", "#08519c", "#08306b"]
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900, 360, 40, 40, 70
_FONT = 'font-family="sans-serif" font-size="12"'


def figure(results: pd.DataFrame) -> str:
    """Bars of every measurement, grouped by combination, as SVG.

    Args:
        results: a row per measurement and combination; measurements in the order of time.
    """
    measurements = list(dict.fromkeys(results["measurement"]))
    colours = dict(zip(measurements, _COLOURS[-len(measurements) :], strict=False))
    combinations = list(dict.fromkeys(results["combination"]))
    group = (_WIDTH - _LEFT) / len(combinations)
    bar = 0.8 * group / len(measurements)
    scale = (_HEIGHT - _BOTTOM - _TOP) / results["times"].max()
    floor = _HEIGHT - _BOTTOM
    parts = [_text(_LEFT, 20, "The published code's CPU seconds per edit, as multiples of ours", "start")]
    for number, measurement in enumerate(measurements):
        place = _LEFT + 280 * number
        parts += [_bar(place, 30, 12, 12, colours[measurement]), _text(place + 18, 40, measurement, "start")]
    for row in results.itertuples():
        left = _LEFT + combinations.index(row.combination) * group + measurements.index(row.measurement) * bar
        height = scale * row.times
        parts.append(_bar(left, floor - height, bar - 2, height, colours[row.measurement]))
        parts.append(_text(left + bar / 2, floor - height - 4, f"{row.times:g}"))
    for number, combination in enumerate(combinations):
        parts.append(_text(_LEFT + (number + 0.4) * group, floor + 18, combination))
    line = f'<line x1="{_LEFT}" y1="{floor}" x2="{_WIDTH}" y2="{floor}" stroke="#333"/>'
    white = _bar(0, 0, _WIDTH, _HEIGHT, "#ffffff")
    body = "\n".join([white, line, *parts])
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{body}\n</svg>\n'


def _bar(left: float, top: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT}>{text}</text>'


if __name__ == "__main__":
    FIGURE.write_text(figure(pd.read_csv(RESULTS)))
    print(FIGURE)

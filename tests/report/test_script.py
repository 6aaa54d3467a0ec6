"""The page's script without a browser: its functions of numbers, by node, where there is one."""

import json
import shutil
import subprocess

import pytest

from piebench_eval.report.page import _assets

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node")


def computed(files, expression):
    """The value of an expression after some of the script's files."""
    folder = _assets() / "js"
    script = "\n".join(folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in files)
    script += f"\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def placed(points, width=600, height=400):
    return computed(["labels"], f"placeLabels({json.dumps(points)}, {{ width: {width}, height: {height} }})")


def boxes(points, places):
    return [
        (
            point["x"] + place["dx"] - point["width"] / 2,
            point["y"] + place["dy"] - point["height"] / 2,
            point["x"] + place["dx"] + point["width"] / 2,
            point["y"] + place["dy"] + point["height"] / 2,
        )
        for point, place in zip(points, places, strict=True)
        if place
    ]


def apart(one, other):
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_labels_of_fourteen_crowded_points_cover_neither_points_nor_each_other():
    points = [
        {"x": 250 + 12 * (place % 5), "y": 150 + 11 * (place // 5), "width": 80, "height": 16}
        for place in range(14)
    ]
    places = placed(points)
    found = boxes(points, places)
    assert len(found) >= 10
    markers = [(each["x"] - 7, each["y"] - 7, each["x"] + 7, each["y"] + 7) for each in points]
    for place, box in enumerate(found):
        assert all(apart(box, other) for other in [*found[:place], *markers])


def test_a_label_stays_inside_and_one_without_room_is_left_out():
    corner = [{"x": 598, "y": 2, "width": 80, "height": 16}]
    (box,) = boxes(corner, placed(corner))
    assert box[0] >= 0 and box[1] >= 0 and box[2] <= 600 and box[3] <= 400
    assert placed([{"x": 30, "y": 30, "width": 80, "height": 16}], width=60, height=60) == [None]


@pytest.mark.parametrize(
    ("values", "higher", "expected"),
    [
        ([1, 3, 2], True, [0, 1, 0.5]),
        ([1, 3, 2], False, [1, 0, 0.5]),
        ([5, 5], True, [0.5, 0.5]),
        (["NaN", 1, 2], True, [None, 0, 1]),
        (["Infinity", 1, 2], True, [1, 0, 1]),
    ],
)
def test_a_column_of_the_types_is_shaded_by_its_own_worst_and_best(values, higher, expected):
    texts = f"[{', '.join(map(str, values))}]"
    assert computed(["types"], f"merits({texts}, {json.dumps(higher)})") == expected


def test_edits_are_put_together_by_sample():
    edits = [{"combination": c, "sample": s} for s, c in ((7, 2), (3, 0), (7, 0), (3, 1))]
    assert computed(["gallery"], f"bySample({json.dumps(edits)})") == [
        {"sample": 7, "edits": [0, 2]},
        {"sample": 3, "edits": [0, 1]},
    ]


def test_an_axis_has_room_around_its_means():
    assert computed(["plot"], "rangeOf([10, 20])") == [9, 21]
    assert computed(["plot"], "rangeOf([10, 10])") is None


def test_in_the_trade_off_an_editor_is_a_group_under_its_own_name():
    combinations = [
        {"name": "direct+p2p", "method": "p2p", "inversion": "direct", "run": "", "isEdit": True},
        {"name": "sdedit", "method": "sdedit", "inversion": "", "run": "", "isEdit": True},
        {"name": "other/sdedit", "method": "sdedit", "inversion": "", "run": "other", "isEdit": True},
        {"name": "oracle", "method": "oracle", "inversion": "", "run": "", "isEdit": False},
    ]
    page = {"REPORT": {"means": [[[1, 1, 1], [2, 2, 2]]] * 4}, "combinations": combinations}
    given = f"Object.assign(globalThis, {json.dumps(page)}, {{ toNumber: Number }})"
    shown = "groups().map(({ name, indices }) => [name, indices.map(labelOf)])"
    found = computed(["plot", "tradeoff"], f"({given}, Object.assign(tradeoff, {{ x: 0, y: 1 }}), {shown})")
    assert found == [["p2p", ["direct"]], ["sdedit", ["sdedit", "other/sdedit"]], ["no edit", ["oracle"]]]

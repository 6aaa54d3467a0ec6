"""Controls are generated from settings alone: a new method needs no page code."""

from typing import Literal

import pytest
from pydantic import Field

from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.settings import Settings
from piebench_eval.studio.knobs import changed_settings, knobs_of


class Mine(Settings):
    share: float = Field(default=0.4, ge=0, le=1, description="of the steps")
    scale: float = Field(default=2.0, gt=0)
    layer: int | None = Field(default=None, ge=1)
    way: Literal["soft", "hard"] = "soft"
    text: str = ""
    on: bool = True
    layers: list[int] = Field(default_factory=lambda: [1, 2])


KNOBS = {knob.label: knob for knob in knobs_of(Mine(), "method.mine.")}


def test_a_control_has_kind_range_default_description_and_choices():
    share, layer, way = KNOBS["share"], KNOBS["layer"], KNOBS["way"]
    assert (share.name, share.kind, share.default) == ("method.mine.share", "number", 0.4)
    assert (share.minimum, share.maximum, share.description) == (0, 1, "of the steps")
    assert KNOBS["scale"].minimum is None  # which it cannot be itself
    assert (layer.kind, layer.optional, layer.minimum) == ("whole", True, 1)
    assert (way.kind, way.choices) == ("choice", ("soft", "hard"))
    assert [KNOBS[name].kind for name in ("text", "on", "layers")] == ["text", "switch", "text"]


def test_changed_settings_are_those_that_do_not_show_their_default():
    shown = {knob.name: knob.shown for knob in KNOBS.values()}
    assert changed_settings(KNOBS.values(), shown) == {}
    shown |= {"method.mine.share": 1, "method.mine.layer": 3.0, "method.mine.layers": "[4]"}
    assert changed_settings(KNOBS.values(), shown) == {
        "method.mine.share": 1.0,
        "method.mine.layer": 3,
        "method.mine.layers": [4],
    }


@pytest.mark.parametrize(
    ("field", "shown", "message"),
    [
        ("share", None, "method.mine.share: is empty"),
        ("layer", 1.5, "no whole number"),
        ("layers", "[1,", "cannot be read"),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(field, shown, message):
    with pytest.raises(PiebenchError, match=message):
        KNOBS[field].value(shown)


@pytest.mark.parametrize("registry", [INVERSIONS, METHODS, EDITORS], ids=lambda registry: registry.kind)
def test_every_setting_of_the_package_shows_its_default_and_reads_it_back(registry):
    for name in registry.names():
        for knob in knobs_of(registry.get(name).settings(), ""):
            assert knob.value(knob.shown) == knob.default, (name, knob)
            assert knob.description, (name, knob)

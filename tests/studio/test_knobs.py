"""Controls are generated from settings alone: a new method needs no page code."""

import json
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.quirks import Quirks
from piebench_eval.recipes.combination import CommonSettings
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


class Shape(Enum):
    ROUND = "round"
    SQUARE = "square"


class Inner(Settings):
    radius: float = 1.5
    names: tuple[str, ...] = ("a", "b: c")


class Odd(Settings):
    """Settings as a plugin may have them."""

    shape: Shape = Shape.ROUND
    inner: Inner = Inner()
    pair: tuple[int, float] = (1, 0.5)
    level: Literal[1, 2, None] = None
    three: bool | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = 0.5
    count: int = Field(default=3, gt=0, lt=9)
    length: int | Literal["all"] = "all"
    either: bool | Literal["auto"] = "auto"
    scale: int | float = 2
    table: dict[str, Any] = Field(default_factory=lambda: {"a": [1, "{x}"]})


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
        ("layer", "1e999", "no whole number"),
        ("layer", "some", "is no number"),
        ("share", "half", "is no number"),
        ("layers", "[1,", "cannot be read"),
        ("layers", "[2001-99-99]", "cannot be read"),
        ("layers", "[2001-09-09]", "cannot be read"),
        ("layers", "&a [*a]", "cannot be read"),
        ("layers", "[" * 1000, "cannot be read"),
        ("layers", 5, "is no text"),
        ("on", "yes", "neither on nor off"),
        ("way", "sideways", "is no choice; there are: soft, hard"),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(field, shown, message):
    with pytest.raises(PiebenchError, match=message):
        KNOBS[field].value(shown)


def test_every_type_that_a_plugin_may_have_has_a_control():
    knobs = {knob.label: knob for knob in knobs_of(Odd(), "method.odd.")}
    kinds = {label: knob.kind for label, knob in knobs.items()}
    assert [kinds[name] for name in ("shape", "level", "three", "either")] == ["choice"] * 4
    assert [kinds[name] for name in ("inner", "pair", "length", "table")] == ["text"] * 4
    assert [kinds[name] for name in ("share", "count", "scale")] == ["number", "whole", "number"]
    assert knobs["shape"].choices == ("round", "square") and knobs["three"].choices == (True, False)
    assert (knobs["count"].minimum, knobs["count"].maximum) == (1, 8)
    assert (knobs["share"].minimum, knobs["share"].about) == (None, "above 0, below 1")
    assert knobs["share"].optional and knobs["level"].optional and not knobs["count"].optional
    given = {
        "shape": "square", "inner": "{radius: 2, names: [x]}", "pair": "[3, 4.5]", "level": 2, "three": False,
        "share": "", "count": 8, "length": "7", "either": True, "scale": 3, "table": "{b: '{image}'}",
    }  # fmt: skip
    values = {name: knobs[name].value(shown) for name, shown in given.items()}
    odd = Odd.model_validate(values)
    assert odd.inner == Inner(radius=2, names=("x",)) and (odd.pair, odd.length) == ((3, 4.5), 7)
    assert (odd.shape, odd.three, odd.share, odd.either) == (Shape.SQUARE, False, None, True)
    for label, knob in knobs.items():
        assert knob.value(knob.shown) == knob.default
        assert getattr(Odd.model_validate({label: knob.default}), label) == getattr(Odd(), label)


def test_a_strangers_value_is_shown_as_its_control_shows_it():
    assert KNOBS["share"].shown_of_any("0.5") == 0.5 and KNOBS["layer"].shown_of_any(3) == "3"
    assert KNOBS["layers"].shown_of_any([1]) == "[1]" and KNOBS["layer"].shown_of_any(None) == ""
    for label, value in {"on": "yes", "share": [1], "way": None, "text": 5}.items():
        with pytest.raises(PiebenchError, match=label):
            KNOBS[label].shown_of_any(value)


EVERY = [(registry, name) for registry in (INVERSIONS, METHODS, EDITORS) for name in registry.names()]


@pytest.mark.parametrize(("registry", "name"), EVERY, ids=lambda one: getattr(one, "kind", one))
def test_what_a_control_shows_becomes_that_setting_within_the_models_bounds(registry, name):
    settings = registry.get(name).settings
    check_controls(settings(), settings, f"{registry.kind}.{name}.")


@pytest.mark.parametrize("settings", [CommonSettings, Quirks])
def test_common_settings_and_quirks_likewise(settings):
    plain = settings(model="demo") if settings is CommonSettings else settings()
    check_controls(plain, settings, "")


def check_controls(plain, settings, prefix):
    for knob in knobs_of(plain, prefix, ["quirks", "model"]):
        assert knob.name == f"{prefix}{knob.label}"
        for value in values_of(knob):
            shown = knob.shown_of(value)
            assert json.loads(json.dumps(shown)) == shown  # on the way to the browser and back
            assert knob.value(shown) == value, (knob.name, value)
            refused = problems_of(settings, plain, knob.label, value)
            assert not refused, (knob.name, value, refused)
        for beyond in beyond_bounds(knob):
            assert problems_of(settings, plain, knob.label, beyond), (knob.name, beyond)


def values_of(knob):
    """Values that the control can show: both ends, all choices, the default, and none."""
    ends = [bound for bound in (knob.minimum, knob.maximum) if bound is not None]
    kind = {"whole": int, "number": float}.get(knob.kind)
    return [
        *(map(kind, ends) if kind else []),
        *knob.choices,
        *([True, False] if knob.kind == "switch" else []),
        knob.default,
        *([None] if knob.optional else []),
    ]


def beyond_bounds(knob):
    step = 1 if knob.kind == "whole" else 1e-6
    low = [] if knob.minimum is None else [knob.minimum - step]
    return low + ([] if knob.maximum is None else [knob.maximum + step])


def problems_of(settings, plain, field, value):
    """What the model says against a value of a field, but nothing that concerns two fields."""
    try:
        settings.model_validate({**dict(plain), field: value})
    except ValidationError as error:
        return [problem for problem in error.errors() if problem["loc"][:1] == (field,)]
    return []


@pytest.mark.parametrize("registry", [INVERSIONS, METHODS, EDITORS], ids=lambda registry: registry.kind)
def test_every_setting_of_the_package_shows_its_default_and_reads_it_back(registry):
    for name in registry.names():
        for knob in knobs_of(registry.get(name).settings(), ""):
            assert knob.value(knob.shown) == knob.default, (name, knob)
            assert knob.description, (name, knob)

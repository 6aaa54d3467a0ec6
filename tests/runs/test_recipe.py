import pytest
import yaml

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.recipe import build_recipe, parse_override

FIELDS = {"model": "a/b", "inversions": ["ddim", "direct"], "methods": ["p2p"]}


def build(overrides=None, **fields):
    return build_recipe({**FIELDS, **fields}, overrides or {}, "test")


def test_defaults_are_the_papers():
    recipe = build()
    assert (recipe.steps, recipe.guidance, recipe.seed) == (50, 7.5, 1234)
    assert recipe.combinations == [("ddim", "p2p"), ("direct", "p2p")]
    assert recipe.changed_settings() == {}


def test_yaml_round_trip_keeps_the_hash():
    recipe = build({"method.cross_replace_steps": 0.8, "steps": 20})
    again = build_recipe(yaml.safe_load(recipe.to_yaml()), {}, "test")
    assert again == recipe
    assert again.hash == recipe.hash != build().hash


def test_overrides_reach_every_inversion_or_one():
    assert {s.guidance for s in build({"inversion.guidance": 2}).inversions.values()} == {2}
    one = build({"inversion.direct.guidance": 2})
    assert (one.inversions["ddim"].guidance, one.inversions["direct"].guidance) == (1, 2)
    assert one.changed_settings() == {"inversion.direct": ["guidance"]}


def test_the_recipes_own_path_works_too():
    assert build({"methods.p2p.controller": "auto"}) == build({"method.controller": "auto"})


def test_overrides_add_up():
    recipe = build({"method.controller": "auto", "method.blend_start": 0.3})
    assert (recipe.methods["p2p"].controller, recipe.methods["p2p"].blend_start) == ("auto", 0.3)


@pytest.mark.parametrize(
    "overrides",
    [
        {"method.cross": 1},
        {"method.masactrl.step": 1},
        {"inversion.": 1},
        {"nothing": 1},
        {"inversions": ["ddim"]},
        {"steps": 0},
        {"steps": "many"},
        {"guidance": float("inf")},
        {"method.cross_replace_steps": 3},
        {"image_format": "gif"},
        {"image_format": "jpeg:200"},
        {"precision": "int8"},
    ],
)
def test_bad_overrides_name_the_field(overrides):
    with pytest.raises(PiebenchError) as caught:
        build(overrides)
    assert next(iter(overrides)).split(".")[-1] in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"inversions": ["dimm"]},
        {"methods": []},
        {"methods": {"p2p": {"steps": 3}}},
        {"methods": 3},
        {"methods": [["p2p"]]},
        {"unknown": 1},
        {"model": None},
    ],
)
def test_bad_fields(fields):
    with pytest.raises(PiebenchError):
        build(**fields)


def test_differences_are_listed():
    lines = build().differences(build({"steps": 20, "method.controller": "auto"}))
    assert lines == ["methods.p2p.controller: refine -> auto", "steps: 50 -> 20"]
    assert build().differences(build()) == []


def test_parse_override():
    assert parse_override("a.b=[1, 2]") == ("a.b", [1, 2])
    assert parse_override("revision=main") == ("revision", "main")
    for wrong in ("steps", "=3", ""):
        with pytest.raises(PiebenchError):
            parse_override(wrong)


def test_recipes_in_configs_are_valid():
    from pathlib import Path

    from piebench_eval.runs.recipe import read_recipe_fields

    files = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
    assert files
    for file in files:
        build_recipe(read_recipe_fields(file), {}, str(file))

"""What a recipe has for all combinations of an inversion."""

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations

FIELDS = {"model": "a/b", "inversions": ["ddim", "direct"], "methods": ["p2p", "pnp"]}


def build(overrides=None, **fields):
    return build_recipe({**FIELDS, **fields}, overrides or {}, "test")


def guidances(recipe):
    return {pair: recipe.combination(*pair).common.guidance for pair in recipe.pairs}


def test_every_combination_of_the_inversion_has_them_and_none_is_left_out():
    found = guidances(build(combinations={"direct+*": {"guidance": 5}}))
    assert found == {
        ("ddim", "p2p"): 7.5,
        ("ddim", "pnp"): 7.5,
        ("direct", "p2p"): 5,
        ("direct", "pnp"): 5,
    }


def test_what_is_overridden_holds_for_them_too():
    shared = {"direct+*": {"guidance": 5}}
    assert build({"guidance": 3}, combinations=shared).hash == build({"guidance": 3}).hash


def test_other_inversions_and_methods_may_be_asked_of_the_demos_recipe():
    fields = read_recipe_fields(DEMO_RECIPE)
    other = build_recipe(
        select_combinations(fields, ["negative_prompt", "edit_friendly"], ["proximal"], "x"), {}, "x"
    )
    assert guidances(other) == {("negative_prompt", "proximal"): 7.5, ("edit_friendly", "proximal"): 5}
    quick = build_recipe(select_combinations(fields, ["ddim", "direct"], ["p2p"], "x"), {}, "x")
    assert quick.combinations is None


@pytest.mark.parametrize(
    ("combinations", "named"),
    [
        ({"drect+*": {}}, "drect"),
        ({"direct+*": 3}, r"combinations.direct\+\*"),
        ({"direct+*": {}, "ddim+p2p": {}}, r"combinations.ddim\+p2p: cannot be mixed"),
        ({"direct+*": {"stepps": 3}}, r"combinations.direct\+p2p.stepps"),
    ],
)
def test_mistakes_are_named(combinations, named):
    with pytest.raises(PiebenchError, match=named):
        build(combinations=combinations)

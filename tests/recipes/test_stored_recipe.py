"""A recipe read back as data says what the recipe itself says."""

import pytest
import yaml

from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.recipes.stored_recipe import StoredRecipe
from tests.support.recipes import shipped

QUOTED = {
    "model": "x",
    "inversions": ["ddim", "direct"],
    "methods": ["p2p"],
    "combinations": {
        "direct+p2p": {"steps": "20", "inversion": {"guidance": "2"}, "method": None},
        "ddim+p2p": None,
    },
}


@pytest.mark.parametrize("recipe", ["paper", "table1", "quoted"])
def test_it_says_the_same(recipe):
    recipe = build_recipe(QUOTED, {}, "test") if recipe == "quoted" else shipped(recipe)
    stored = StoredRecipe(yaml.safe_load(recipe.to_yaml()))
    assert stored == recipe.stored and stored.hash == recipe.hash
    assert (stored.model, stored.image_format) == (recipe.model, recipe.image_format)
    assert stored.pairs == recipe.pairs
    for pair in recipe.pairs:
        assert list(stored.settings(*pair).items()) == list(recipe.combination(*pair).flat().items())


def test_what_is_equal_keeps_the_recipes_hash():
    """A whole number for a setting with a fraction was hashed as it was written, and still is."""
    assert shipped("paper").hash == "3b3831245cde0851d51e0128a569d1821a5ec1c5dcfc3bb294b4052eba799eb2"

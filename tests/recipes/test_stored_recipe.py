"""A recipe read back as data says what the recipe itself says."""

import pytest
import yaml

from piebench_eval.recipes.combination import LATER_SETTINGS
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
    assert shipped("paper").hash == "e858eff553c9df54c1b9846ff808d695756db84ed5d76504c27e80a951dac2cc"


def test_a_setting_that_came_later_is_part_of_the_hash_where_it_says_something():
    plain, saved = (build_recipe(QUOTED, later, "test") for later in ({}, {"output_resolution": 512}))
    fields = yaml.safe_load(plain.to_yaml())
    assert fields.pop("output_resolution", "absent") is None
    before = StoredRecipe(fields)
    assert before.hash == plain.hash != saved.hash and not before.differences(plain.stored)
    assert before.differences(saved.stored) == ["output_resolution: (absent) -> 512"]
    assert saved.combination("direct", "p2p").flat()["output_resolution"] == 512


def test_an_inversions_setting_that_came_later_is_part_of_the_hash_where_it_says_something():
    plain, changed = (
        build_recipe(QUOTED, later, "test") for later in ({}, {"inversion.ddim.refinements": 2})
    )
    fields = yaml.safe_load(plain.to_yaml())
    for settings in fields["inversions"].values():
        assert (settings.pop("evaluate_at"), settings.pop("refinements")) == ("next", 0)
    before = StoredRecipe(fields)
    assert before.hash == plain.hash != changed.hash and not before.differences(plain.stored)
    assert before.differences(changed.stored) == ["inversions.ddim.refinements: (absent) -> 2"]


def test_a_share_of_the_gpu_that_was_a_setting_says_nothing():
    """As feature sharing had it before ``--feature-memory``: run folders of then go on."""
    recipe = shipped("rf-solver-edit-flux")
    fields = yaml.safe_load(recipe.to_yaml())
    fields["methods"]["feature_sharing"]["device_gigabytes"] = 8.0
    before = StoredRecipe(fields)
    assert before.hash == recipe.hash and not before.differences(recipe.stored)


def test_a_recipe_of_before_quirks_were_a_section_says_the_same():
    """As an earlier version of the package stored it."""
    recipe = build_recipe({**QUOTED, "combinations": None}, {"quirks.pixel_overflow": "wrap"}, "test")
    fields = yaml.safe_load(recipe.to_yaml())
    quirks = fields.pop("quirks")
    fields |= {name: quirks[name] for name in ("pixel_overflow", "count_skipped_steps")}
    fields["methods"]["p2p"] |= {name: quirks[name] for name in ("blend_maps", "lost_blend_word")}
    for pair in recipe.pairs:
        today = recipe.combination(*pair).flat()
        for later in ("quirks.noise_on_device", "quirks.added_shift"):
            assert today.pop(later) is LATER_SETTINGS[later] is False
        assert StoredRecipe(fields).settings(*pair) == today
    fields["inversions"]["ddim"]["source_latents"] = "shifted_reconstruction"
    told = StoredRecipe(fields).settings("ddim", "p2p")
    assert told["inversion.source_latents"] == "reconstruction" and told["quirks.shifted_reconstruction"]

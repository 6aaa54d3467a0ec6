"""Recipes that come with the package."""

from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields


def shipped(name, overrides=None):
    """One of them by its name, with other values for some of its fields."""
    file = recipe_file(name)
    return build_recipe(read_recipe_fields(file), overrides or {}, str(file))

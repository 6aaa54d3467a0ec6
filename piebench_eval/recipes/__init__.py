"""Recipes: how edits are made, what may be overridden, and the recipes that come with the package."""

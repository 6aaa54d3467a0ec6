"""Scoring edited images: which images, at which resolution, with a cache of scores."""

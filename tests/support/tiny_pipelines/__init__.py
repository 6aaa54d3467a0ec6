"""Whole pipelines of diffusers with random weights, one file each."""

"""Editors that are whole pipelines of diffusers: one file each, and what all of them share.

``location`` checks a pipeline's folder before anything is read, ``loading`` loads it, and ``calling`` calls
it for each sample.
"""

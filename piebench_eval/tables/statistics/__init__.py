"""Means, intervals and paired comparisons."""

"""The published numbers, and comparisons with them."""

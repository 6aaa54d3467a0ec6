"""The embedded demo: drawn scenes, a benchmark of edits on them, and small models trained on them."""

"""A run as a page: means, trade-off, editing types and every picture, in a folder that opens from disk."""

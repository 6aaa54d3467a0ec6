"""Scored runs as an HTML page: means, trade-off, editing types and every image; it opens from disk."""

"""The published rows with one's own among them: filters, groups with their spread, tables and a page."""

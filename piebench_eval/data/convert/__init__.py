"""Convert other formats to benchmark folders in PIE-Bench's layout."""

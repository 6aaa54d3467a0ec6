"""Scores of an edit, after PIE-Bench's protocol (Ju et al., ICLR 2024)."""

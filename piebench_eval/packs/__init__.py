"""Packs: a scored run as one archive, and how far others can verify it."""

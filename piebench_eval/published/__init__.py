"""The rows that papers print of PIE-Bench, as data: ``rows.csv``, and what reads it."""

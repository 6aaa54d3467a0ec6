"""The regression gate: holding means against a baseline."""

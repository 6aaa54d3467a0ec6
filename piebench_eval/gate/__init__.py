"""The regression gate: compare means with a baseline."""

"""The regression gate, command ``piebench check``: compare a run's means with a baseline."""

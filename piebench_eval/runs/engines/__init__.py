"""Who executes a run's jobs."""

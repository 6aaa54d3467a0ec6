"""Who executes a run's jobs: this process, processes of this machine, or actors of a Ray cluster."""

"""Executing a recipe: plan, job queue, workers, engines and the run folder."""

"""The run folder on disk: recipe, manifest, records, session logs and edited images."""

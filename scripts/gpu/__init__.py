"""Parts of ``scripts/gpu_check.py``. Only ``machine`` imports other packages."""

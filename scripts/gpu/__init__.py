"""What ``scripts/gpu_check.py`` is made of. Only ``machine`` needs more than Python itself."""

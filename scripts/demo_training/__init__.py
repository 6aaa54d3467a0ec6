"""Training of the demo models; run by ``scripts/train_demo_models.py``."""

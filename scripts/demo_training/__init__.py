"""How the embedded world's models are trained; run by ``scripts/train_demo_models.py``."""

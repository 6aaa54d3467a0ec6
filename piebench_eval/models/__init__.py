"""Diffusion models: loading, text embeddings, image <-> latent, attention layers, counted evaluations."""

"""The diffusion model underneath: loading, text embeddings, image <-> latent, counted UNet calls."""

"""The diffusion model underneath: loading it, text embeddings, image <-> latent, UNet calls and their count."""

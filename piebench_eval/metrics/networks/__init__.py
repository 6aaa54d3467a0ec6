"""The networks that metrics use: DINO, LPIPS and CLIP."""

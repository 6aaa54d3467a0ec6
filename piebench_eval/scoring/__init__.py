"""Score edited images: find them, load them at the evaluation resolution, score and cache."""

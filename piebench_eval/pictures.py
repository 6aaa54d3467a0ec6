"""How pictures get into latents and out of them: the choices that recipes and models share."""

from typing import Literal

Posterior = Literal["mean", "sample"]
"""What of the autoencoder's posterior a picture becomes."""

GreyLevels = Literal["truncate", "round"]
"""How decoded pixels become whole grey levels."""

PixelOverflow = Literal["clamp", "wrap", "min_max"]
"""What becomes of grey levels outside 0..255."""

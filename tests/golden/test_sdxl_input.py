"""What TurboEdit's published code gives to SDXL's autoencoder, recorded: the whole picture, made square."""

import numpy as np
import pytest

from piebench_eval.data.images import load_image

pytestmark = pytest.mark.golden


def test_a_picture_that_is_not_square_is_resized_as_published(golden_flow_c):
    """Exact, since both are Pillow's; the recording has every 8th pixel."""
    recorded = np.load(golden_flow_c / "extra" / "unit_sdxl.npz")["pixels_strided"]
    pixels = load_image(golden_flow_c / "images" / "case2.png", 512, "resize").astype(np.float32)
    found = (2 * (pixels / 255) - 1).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(found[:, :, ::8, ::8], recorded, rtol=0, atol=1e-6)

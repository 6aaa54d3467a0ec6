"""Results on a CPU do not depend on the number of threads."""

import pytest
import torch
from torch import nn

from piebench_eval.backbone.pointwise import PointwiseConv2d, use_pointwise_products


def test_a_product_is_the_convolution():
    model = nn.Sequential(nn.Conv2d(24, 40, 1), nn.Conv2d(40, 8, 1, bias=False))
    pixels = torch.randn(2, 24, 13, 7)
    expected = model(pixels)
    names = set(model.state_dict())
    use_pointwise_products(model)
    assert all(type(layer) is PointwiseConv2d for layer in model) and set(model.state_dict()) == names
    torch.testing.assert_close(model(pixels), expected, atol=1e-6, rtol=1e-6)


def test_other_convolutions_stay():
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1, stride=2), nn.Conv2d(8, 8, 1, groups=2))
    use_pointwise_products(model)
    assert all(type(layer) is nn.Conv2d for layer in model)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_any_power_of_two_threads_give_the_same_bits(backbone, threads):
    pixels, latents = torch.rand(1, 3, 256, 256), torch.randn(3, 4, 32, 32)
    words = torch.randn(3, 77, backbone.unet.config.cross_attention_dim)
    found = []
    for count in (1, 2, 4, 8):
        threads(count)
        with torch.no_grad():
            noise = backbone.unet(latents, 10, words).sample
            mean = backbone.vae.encode(pixels).latent_dist.mean
            found.append((noise, mean, backbone.vae.decode(mean).sample))
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))

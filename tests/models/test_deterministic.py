"""Results on a CPU do not depend on the number of threads."""

import pytest
import torch
from diffusers.models.activations import GELU
from torch import nn
from transformers.activations import QuickGELUActivation

from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.deterministic import (
    DeterministicLinear,
    DeterministicPointwiseConv2d,
    DeterministicSwish,
    DeterministicTanhGelu,
    use_deterministic_layers,
)
from tests.support.tiny_sd3 import WIDTH, new_transformer


@pytest.mark.parametrize("size", [(13, 7), (4, 4), (1, 1)])
def test_a_product_is_the_convolution(size):
    model = nn.Sequential(nn.Conv2d(24, 40, 1), nn.Conv2d(40, 8, 1, bias=False))
    pixels = torch.randn(2, 24, *size)
    expected = model(pixels)
    names = set(model.state_dict())
    use_deterministic_layers(model)
    assert all(type(layer) is DeterministicPointwiseConv2d for layer in model)
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(pixels), expected, atol=1e-6, rtol=1e-6)


def test_other_convolutions_stay():
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1, stride=2), nn.Conv2d(8, 8, 1, groups=2))
    use_deterministic_layers(model)
    assert all(type(layer) is nn.Conv2d for layer in model)


@pytest.mark.parametrize("rows", [1, 4, 32, 33, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_linear_layer_stays_what_it_was(rows, dtype):
    model = nn.Sequential(nn.Linear(24, 40), nn.Linear(40, 8, bias=False)).to(dtype)
    given = torch.randn(rows, 24, dtype=dtype)
    expected = model(given)
    use_deterministic_layers(model)
    assert all(type(layer) is DeterministicLinear for layer in model)
    assert model(given).dtype == dtype
    torch.testing.assert_close(model(given), expected)


@pytest.mark.parametrize("layer", [nn.SiLU(), QuickGELUActivation()])
def test_an_activation_and_its_slope_stay_what_they_were(layer):
    values = torch.cat([torch.linspace(-30, 30, 1001), torch.tensor([-1e30, -100.0, 100.0, 1e30])])
    model = nn.Sequential(layer)
    use_deterministic_layers(model)
    assert type(model[0]) is DeterministicSwish
    found = []
    for function in (layer, model):
        given = values.clone().requires_grad_()
        result = function(given)
        result.sum().backward()
        found.append((result.detach(), given.grad))
    for mine, pytorchs in zip(*found, strict=True):
        torch.testing.assert_close(mine, pytorchs, atol=1e-6, rtol=1e-6)


def test_gelu_by_a_tanh_stays_what_it_was():
    model = nn.Sequential(GELU(24, 40, approximate="tanh"))
    given = 8 * torch.randn(5, 9, 24)
    expected, names = model(given), set(model.state_dict())
    use_deterministic_layers(model)
    assert type(model[0]) is DeterministicTanhGelu and type(model[0].proj) is DeterministicLinear
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(given), expected, atol=1e-6, rtol=1e-6)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_any_number_of_threads_gives_the_same_bits(deterministic_model, threads, count):
    pixels, latents = torch.rand(1, 3, 256, 256), torch.randn(3, 4, 32, 32)
    words = torch.randn(3, 77, deterministic_model.unet.config.cross_attention_dim)
    found = []
    for number in (1, count):
        threads(number)
        with torch.no_grad():
            noise = deterministic_model.predict(latents, 10, Conditioning(words), [0, 1, 2])
            mean = deterministic_model.vae.encode(pixels).latent_dist.mean
            decoded = deterministic_model.vae.decode(mean).sample
            text = deterministic_model.text_encoder(torch.arange(77)[None]).last_hidden_state
        found.append((noise, mean, decoded, text))
    assert [torch.equal(one, other) for one, other in zip(*found, strict=True)] == [True] * 4


def test_any_number_of_threads_gives_the_same_bits_of_a_transformer(threads):
    model = new_transformer(layers=2, side=64)
    use_deterministic_layers(model)
    given = [
        torch.randn(23, 16, 8, 8),
        torch.randn(23, 101, WIDTH),
        torch.randn(23, 40),
        torch.full((23,), 500.0),
    ]
    found = []
    for number in (1, 3):
        threads(number)
        with torch.no_grad():
            found.append(model(*given, return_dict=False)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize("count", [2, 4])
def test_a_power_of_two_threads_gives_the_same_gradient(deterministic_model, threads, count):
    latents = torch.randn(1, 4, 32, 32)
    words = torch.randn(1, 77, deterministic_model.unet.config.cross_attention_dim, requires_grad=True)
    found = []
    for number in (1, count):
        threads(number)
        noise = deterministic_model.unet(latents, 10, words).sample
        found.append(torch.autograd.grad(noise.square().sum(), words)[0])
    assert torch.equal(*found)

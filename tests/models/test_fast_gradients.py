"""Layers are differentiated by oneDNN as by PyTorch, where that is faster and nothing speaks against it."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from piebench_eval.models import fast_gradients as module
from piebench_eval.models.compile import compile_blocks
from piebench_eval.models.deterministic import use_deterministic_layers
from piebench_eval.models.fast_gradients import _FastGradients, fast_gradients
from tests.support.small_unet import new_small_unet

POSITIONS = 1024
pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN")


@pytest.fixture
def differentiated(monkeypatch):
    """The positions of each head whose gradient is computed by the package."""
    positions, of_head = [], module.attention_gradients

    def noted(query, *others):
        positions.append(len(query))
        return of_head(query, *others)

    monkeypatch.setattr(module, "attention_gradients", noted)
    return positions


@pytest.fixture(scope="module")
def unet():
    """Self-attention has 1024 positions in three blocks, and 256 in the one between them."""
    return new_small_unet(32)


def heads(positions, tokens, width=8, rows=2):
    """Query, key and value of two heads as diffusers makes them, each head's between the other's."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(rows, length, 2, width) for length in (positions, tokens, tokens)]
    return [torch.randn(shape, generator=generator).transpose(1, 2).requires_grad_() for shape in shapes]


def differentiate(attention, inputs, **options):
    output = attention(*inputs, **options)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape).sin()
    return output, torch.autograd.grad((output * weights).sum(), inputs)


@pytest.mark.parametrize("positions", [POSITIONS, 1500, 3 * POSITIONS], ids=["blocks", "uneven", "many"])
def test_gradients_are_those_of_the_formula(positions, differentiated):
    inputs = heads(positions, positions, rows=1)
    with _FastGradients():
        output, found = differentiate(scaled_dot_product_attention, inputs)
    assert differentiated == [positions] * 2, "of each head"
    plain, fused = differentiate(scaled_dot_product_attention, inputs)
    torch.testing.assert_close(output, plain, atol=1e-6, rtol=0)

    def formula(query, key, value):
        return (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1) @ value

    _, exact = differentiate(formula, [each.detach().double().requires_grad_() for each in inputs])
    for each, of_fused, right in zip(found, fused, exact, strict=True):
        error, of_fused_error = ((gradient - right).abs().max() for gradient in (each, of_fused))
        assert error < 1e-5 * right.abs().max() and error < 4 * of_fused_error


def test_a_large_exponent_is_no_overflow(differentiated):
    query, key, value = heads(POSITIONS, POSITIONS)
    inputs = [each.detach().requires_grad_() for each in (40 * query, 10 * key, value)]
    with _FastGradients():
        _, found = differentiate(scaled_dot_product_attention, inputs)
    _, fused = differentiate(scaled_dot_product_attention, inputs)
    assert differentiated == [POSITIONS] * 4
    for each, right in zip(found, fused, strict=True):
        assert torch.allclose(each, right, rtol=1e-3, atol=1e-4 * right.abs().max())


@pytest.mark.parametrize(
    ("positions", "tokens", "options"),
    [
        (POSITIONS, 77, {}),
        (POSITIONS // 4, POSITIONS // 4, {}),
        (POSITIONS, POSITIONS, {"is_causal": True}),
        (POSITIONS, POSITIONS, {"scale": 1.0}),
        (POSITIONS, POSITIONS, {"attn_mask": torch.ones(POSITIONS, POSITIONS, dtype=torch.bool).tril()}),
    ],
    ids=["of a text", "small", "causal", "scaled", "masked"],
)
def test_other_attention_is_left_alone(positions, tokens, options, differentiated):
    inputs = heads(positions, tokens)
    output, right = differentiate(scaled_dot_product_attention, inputs, **options)
    with _FastGradients():
        found, gradients = differentiate(scaled_dot_product_attention, inputs, **options)
    assert torch.equal(found, output) and not differentiated
    assert all(torch.equal(each, other) for each, other in zip(gradients, right, strict=True))


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_that_of_the_formula(bias, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    rows, weight, offset = (
        torch.randn(size, generator=generator) for size in ((64, 300, 2), (96, 64), (96,))
    )
    rows = rows.permute(2, 1, 0).requires_grad_()  # a view of another order in memory
    given = (rows, weight, offset) if bias else (rows, weight)
    applied, plain = [], module._Linear.apply
    monkeypatch.setattr(module._Linear, "apply", lambda *inputs: applied.append(1) or plain(*inputs))
    with _FastGradients():
        output = linear(*given)
        (gradient,) = torch.autograd.grad(output.square().sum(), rows)
    assert applied
    exact = rows.detach().double().requires_grad_()
    right = linear(exact, *(each.double() for each in given[1:]))
    (right_gradient,) = torch.autograd.grad(right.square().sum(), exact)
    assert torch.allclose(output, right.float(), rtol=1e-5, atol=1e-5)
    assert torch.allclose(gradient, right_gradient.float(), rtol=1e-5, atol=1e-3)


def test_weights_that_learn_have_their_gradient():
    rows, weight, bias = torch.ones(300, 64), torch.ones(96, 64), torch.ones(96, requires_grad=True)
    with _FastGradients():
        (gradient,) = torch.autograd.grad(linear(rows, weight, bias).sum(), bias)
    assert torch.equal(gradient, torch.full((96,), 300.0))


def test_a_text_has_the_same_gradient(unet, differentiated):
    generator = torch.Generator().manual_seed(0)
    latents, text = (torch.randn(shape, generator=generator) for shape in ((2, 4, 32, 32), (2, 77, 16)))
    text.requires_grad_()

    def loss_and_gradient(context):
        with context:
            loss = unet(latents, 500, text).sample.square().mean()
            return loss.detach(), torch.autograd.grad(loss, text)[0]

    plain, right = loss_and_gradient(nullcontext())
    assert not differentiated
    loss, gradient = loss_and_gradient(_FastGradients())
    assert torch.allclose(loss, plain, rtol=1e-5)
    assert (gradient - right).abs().max() < 1e-5 * right.abs().max()
    # Of three large layers, the first sees no text: it is before all of them.
    assert differentiated == [POSITIONS] * (2 * 2 * 2)


def test_other_networks_and_processors_keep_their_gradient(unet, monkeypatch):
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    deterministic, half, elsewhere, checkpointing, compiled = (copy.deepcopy(unet) for _ in range(5))
    use_deterministic_layers(deterministic)
    checkpointing.enable_gradient_checkpointing()
    compile_blocks(compiled, backend="eager")
    for network in (deterministic, half.bfloat16(), elsewhere.to("meta"), checkpointing, compiled):
        assert isinstance(fast_gradients(network), nullcontext)
    assert isinstance(fast_gradients(unet), _FastGradients)
    monkeypatch.setattr(module, "onednn_is_faster", lambda: False)
    assert isinstance(fast_gradients(unet), nullcontext)

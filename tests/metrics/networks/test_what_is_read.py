"""Networks compute what the scores read, and the same numbers as a whole pass."""

from contextlib import contextmanager

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure
from transformers import CLIPModel, ViTModel
from transformers.activations import QuickGELUActivation

from piebench_eval.metrics.networks.class_token import QuickGELU
from piebench_eval.metrics.ssim import ssim_map


@contextmanager
def tokens_seen(modules):
    """A list that is filled with how many tokens each of some modules is given."""
    seen = []
    hooks = [
        module.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
        for module in modules
    ]
    yield seen
    for hook in hooks:
        hook.remove()


@torch.inference_mode()
def test_the_last_layer_of_clip_embeds_the_class_token_alone(networks, metric_networks):
    clip = networks.clip(None, "own")
    pixels = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected = CLIPModel.from_pretrained(metric_networks.clip).eval().get_image_features(pixel_values=pixels)
    first, last = clip._clip.vision_model.encoder.layers[0], clip._clip.vision_model.encoder.layers[-1].layer
    attention = last.self_attn
    with tokens_seen([attention.k_proj, attention.v_proj, attention.q_proj, last.mlp, first.mlp]) as seen:
        found = clip.images(pixels)
    torch.testing.assert_close(found, expected.pooler_output, rtol=1e-6, atol=1e-6)
    assert sorted(seen) == [1, 1, 50, 50, 50]


def test_quickgelu_has_the_same_bits():
    values = 4 * torch.randn(3, 257, 64, generator=torch.Generator().manual_seed(0))
    for given in (values, values.bfloat16()):
        assert torch.equal(QuickGELU()(given.clone()), QuickGELUActivation()(given))
    before = values.clone()
    QuickGELU()(values)
    assert torch.equal(values, before), "its input was overwritten"


@pytest.mark.parametrize(("features", "projection"), [("keys", "k_proj"), ("queries", "q_proj")])
@torch.inference_mode()
def test_a_pass_through_dino_ends_at_the_projection_that_is_read(
    networks, metric_networks, features, projection
):
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    vit, kept = ViTModel.from_pretrained(metric_networks.dino, add_pooling_layer=False).eval(), []
    named = dict(vit.named_modules())
    projections = [name for name in named if name.endswith(("k_proj", "q_proj", "v_proj"))]
    (last,) = [name for name in projections if name.endswith(projection) and "11" in name]
    named[last].register_forward_hook(lambda *given: kept.append(given[2]))
    vit(pixels)
    of_last = [networks.dino._vit.get_submodule(name) for name in projections if "11" in name]
    with tokens_seen(of_last) as seen:
        assert torch.equal(networks.dino.read(pixels, 11, features), kept[0])
    assert seen == [197]


@torch.inference_mode()
def test_lpips_features_do_not_depend_on_how_channels_are_stored(networks):
    network, pixels = networks.lpips("lpips_weights"), torch.rand(1, 3, 96, 80) * 2 - 1
    layers = network._network.net.forward(network._network.scaling_layer(pixels))
    features = network.features(pixels)
    assert features[0].is_contiguous(memory_format=torch.channels_last)
    for layer, found in zip(layers, features, strict=True):
        expected = layer / (layer.square().sum(1, keepdim=True).sqrt() + 1e-10)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_is_that_of_torchmetrics(channels, data_range):
    source = torch.rand(1, channels, 40, 33, generator=torch.Generator().manual_seed(0)) * data_range
    edited = (source + 0.1 * data_range * torch.randn(source.shape)).clamp(0, data_range)
    _, expected = structural_similarity_index_measure(
        edited, source, sigma=1.5, data_range=data_range, return_full_image=True
    )
    torch.testing.assert_close(ssim_map(source, edited, data_range), expected, rtol=1e-6, atol=1e-6)

"""Networks compute what the scores read, and the same numbers as a whole pass."""

from contextlib import contextmanager

import pytest
import torch
from transformers import CLIPModel, ViTModel
from transformers.activations import QuickGELUActivation

from piebench_eval.metrics.networks.class_token import QuickGELU


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

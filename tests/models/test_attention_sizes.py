"""What a transformer's configuration says of its attention is what the loaded one has."""

from dataclasses import replace

import pytest

from piebench_eval.models.attention import attention_layers
from piebench_eval.models.attention_sizes import attention_sizes


@pytest.mark.parametrize("family", ["flux", "sd3"])
def test_layers_positions_and_width_are_those_of_the_model(family, request, model_of):
    model = model_of(family)
    sizes = attention_sizes(str(request.getfixturevalue(f"tiny_{family}")))
    latent_shape, pixels = (6, 8), (64, 48)
    assert sizes.layers(pixels) == list(attention_layers(model.denoiser, latent_shape).values())
    assert sizes.width == model.denoiser.inner_dim
    assert sizes.text == model.embed_prompts(["a cat"]).tokens.shape[1]
    assert sizes.positions(sizes.layers(pixels)[-1]) == 3 * 4 + sizes.text


def test_lengths_of_the_recipe_count(tiny_sd3):
    assert attention_sizes(str(tiny_sd3), clip_length=70, t5_length=30).text == 100


def test_layers_of_the_picture_alone_have_no_text(tiny_sd3):
    sizes = attention_sizes(str(tiny_sd3))
    dual = replace(sizes, config={**sizes.config, "dual_attention_layers": (0,)})
    kinds = [layer.kind for layer in dual.layers((64, 64))]
    assert kinds == ["joint", "self", *["joint"] * (len(kinds) - 2)]
    assert dual.positions(dual.layers((64, 64))[1]) == 4 * 4


def test_a_model_that_is_not_here_has_its_familys_sizes(tiny_model):
    assert attention_sizes("black-forest-labs/FLUX.1-dev").text == 512
    assert attention_sizes("somebody/some-flux", family="flux").width == 3072
    sd3 = attention_sizes("stabilityai/stable-diffusion-3-medium-diffusers")
    assert (sd3.text, sd3.width, len(sd3.layers((1024, 1024)))) == (333, 1536, 24)
    assert attention_sizes("somebody/something") is None
    assert attention_sizes(str(tiny_model)) is None

"""The layers that MasaCtrl and Plug-and-Play name: by family if a recipe is silent, and as it says if not."""

from dataclasses import replace

import pytest
from diffusers import UNet2DConditionModel

from piebench_eval.errors import PiebenchError
from piebench_eval.methods.family_layers import of_family
from piebench_eval.methods.masactrl import MASACTRL, START_LAYERS, MasaCtrlSettings
from piebench_eval.methods.pnp import FEATURE_MODULES, FIRST_ATTENTION_LAYERS, PNP, PnPSettings
from piebench_eval.models.attention import unet_attention_layers
from piebench_eval.models.families import FAMILIES
from piebench_eval.recipes.recipe import build_recipe
from tests.runs.test_combinations import run
from tests.support.recipes import shipped


def start_layer(model, samples, **settings):
    return MASACTRL.prepare(samples, model, 4, MasaCtrlSettings(**settings)).controller.start_layer


def places(model, samples, **settings):
    controller = PNP.prepare(samples, model, 4, PnPSettings(**settings)).controller
    return *controller.hooked_modules, controller.first_attention_layer


def test_defaults_are_the_familys(model, sdxl, samples):
    assert start_layer(model, samples) == 10
    assert start_layer(sdxl, samples) == 44
    assert places(model, samples) == ("up_blocks.1.resnets.1.conv2", 8)
    assert places(sdxl, samples) == ("up_blocks.0.resnets.1.conv2", 44)


def test_what_a_recipe_says_is_what_runs(sdxl, samples):
    assert start_layer(sdxl, samples, start_layer=10) == 10
    assert start_layer(sdxl, samples, start_layer=0) == 0
    assert places(sdxl, samples, first_attention_layer=0) == ("up_blocks.0.resnets.1.conv2", 0)
    named = "up_blocks.0.resnets.0"
    assert places(sdxl, samples, feature_module=named) == (named, 44)


def test_every_family_of_today_has_defaults_and_another_is_told_the_setting():
    of_unets = {name for name, family in FAMILIES.items() if "cross" in family.attention}
    for defaults in (START_LAYERS, FEATURE_MODULES, FIRST_ATTENTION_LAYERS):
        assert set(defaults) == of_unets
    other = replace(FAMILIES["sd1"], name="other", title="Another family")
    with pytest.raises(PiebenchError, match=r"Another family.*--set method\.start_layer="):
        of_family("start_layer", None, START_LAYERS, other)
    assert of_family("start_layer", 3, START_LAYERS, other) == 3


def test_the_numbers_are_of_the_places_that_they_are_said_to_be():
    """SDXL's UNet itself, without weights: 44 is the first beside the decoder's second residual block."""
    import torch

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
    layers = {
        layer.index: (name, layer)
        for name, layer in unet_attention_layers(unet, (128, 128)).items()
        if layer.kind == "self"
    }
    assert len(layers) == 70
    for number in (START_LAYERS["sdxl"], FIRST_ATTENTION_LAYERS["sdxl"]):
        assert layers[number][0].startswith("up_blocks.0.attentions.1.")
        assert layers[number - 1][0].startswith("up_blocks.0.attentions.0.")
    assert unet.get_submodule(FEATURE_MODULES["sdxl"]).out_channels == 1280
    # Prompt-to-Prompt's self_replace_downsampling: 2 is all of them, 4 all but the last and first at 64x64.
    assert {layer.downsampling for _, layer in layers.values()} == {2, 4}
    assert sum(layer.grid == (32, 32) for _, layer in layers.values()) == 60


def test_layers_that_a_model_lacks_are_noted(sdxl, samples):
    """The small model has 10 self-attentions; on SDXL itself 44 is there."""
    for method, settings in ((MASACTRL, MasaCtrlSettings()), (PNP, PnPSettings())):
        prepared = method.prepare(samples, sdxl, 4, settings)
        assert all("44, and this model's last self-attention is number" in of[-1] for of in prepared.notes)
    prepared = MASACTRL.prepare(samples, sdxl, 4, MasaCtrlSettings(start_layer=5))
    assert not any(prepared.notes)


@pytest.mark.parametrize(
    ("method", "chosen"),
    [
        ("masactrl", {"start_step": 0, "start_layer": 6}),
        ("pnp", {"first_attention_layer": 6, "feature_steps": 0.0}),
        ("pnp", {"feature_module": "up_blocks.0.resnets.0", "attention_steps": 0.0}),
    ],
)
def test_the_chosen_layers_change_the_edit(sdxl, samples, method, chosen):
    other = {"start_layer": 7, "first_attention_layer": 7, "feature_module": "up_blocks.0.resnets.1"}
    moved = {name: other.get(name, value) for name, value in chosen.items()}
    edits = [run(sdxl, samples[:1], "direct", method, **settings)[0] for settings in (chosen, moved)]
    assert edits[0].isfinite().all() and (edits[0] - edits[1]).abs().max() > 1e-4


def test_a_module_that_the_unet_lacks_is_named(sdxl, samples):
    with pytest.raises(PiebenchError, match=r"no module up_blocks\.7"):
        run(sdxl, samples[:1], "direct", "pnp", feature_module="up_blocks.7")


def test_recipes_of_before_keep_their_hash():
    """Plug-and-Play's places were no settings; as long as nothing is chosen, recipes are the same."""
    fields = {"model": "demo", "inversions": ["direct"], "methods": {"pnp": {}}}
    stored = build_recipe(fields, {}, "test").stored
    earlier = {**stored.fields, "methods": {"pnp": dict(stored.fields["methods"]["pnp"])}}
    for name in ("feature_module", "first_attention_layer"):
        del earlier["methods"]["pnp"][name]
    assert type(stored)(earlier).hash == stored.hash
    chosen = build_recipe({**fields, "methods": {"pnp": {"first_attention_layer": 8}}}, {}, "test").stored
    assert chosen.hash != stored.hash
    assert stored.differences(chosen) == ["methods.pnp.first_attention_layer: (absent) -> 8"]


@pytest.mark.parametrize("method", ["p2p", "proximal"])
def test_an_empty_blend_downsampling_is_the_4_of_recipes_of_before(method):
    fields = {"model": "demo", "inversions": ["direct"]}
    stored = {
        value: build_recipe({**fields, "methods": {method: {"blend_downsampling": value}}}, {}, "test").stored
        for value in (None, 4, 2)
    }
    assert stored[None].hash == stored[4].hash != stored[2].hash
    assert stored[4].differences(stored[None]) == []
    assert stored[None].differences(stored[2]) == [f"methods.{method}.blend_downsampling: 4 -> 2"]


@pytest.mark.parametrize("name", ["paper", "table1", "demo"])
def test_recipes_of_the_package_name_masactrls_layer(name):
    assert shipped(name).methods["masactrl"].start_layer == 10

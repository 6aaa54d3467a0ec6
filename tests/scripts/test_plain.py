"""The plain implementation: its edits are the package's, and its rows the reference's."""

from dataclasses import replace

import pytest
import torch

from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from scripts.plain.controls import Layers
from scripts.plain.edit import plain_edit
from scripts.plain.model import plain_model
from scripts.speed.measure import layers_of
from scripts.speed.reference_evaluations import reference_evaluations
from tests.support.pairs import marked
from tests.support.recipes import shipped
from tests.support.tiny_sdxl import save_tiny_sdxl

STEPS, SIDE = 5, 128
# The tiny model's maps are flat and 4x4: at this threshold a blend's mask is a part of the picture.
OVERRIDES = {"model": "demo", "steps": STEPS, "resolution": SIDE, "method.blend_threshold": 0.8}


def recipe(name):
    return shipped(name, OVERRIDES)


def plainly(diffusion_model, combination, sample, layers=None):
    """Edited latents, and the rows forward and backward."""
    z0 = encode_inputs(diffusion_model, [sample], SIDE, loader=combination.common.image_loader).latents
    schedule = ddim_schedule(diffusion_model.alphas_cumprod, combination.common.steps)
    with plain_model(diffusion_model, (SIDE, SIDE)) as model:
        edited = plain_edit(model, combination, sample, z0, schedule, layers)
    return edited, (model.forward, model.backward)


def of_table_1(pair):
    """A pair, slow if it is null-text: hundreds of updates by each implementation."""
    return pytest.param(*pair, marks=pytest.mark.slow) if pair[0] == "null_text" else marked(*pair)


@pytest.mark.parametrize(("inversion", "method"), [*map(of_table_1, recipe("table1").pairs)])
def test_edits_are_the_package_s_and_rows_the_reference_s(model, samples, inversion, method):
    combination = recipe("table1").combination(inversion, method)
    skipped = 1 if inversion == "edit_friendly" else 0
    expected_rows = reference_evaluations(combination, skipped)
    if inversion == "null_text" and expected_rows is None:  # sooner done, and no rows to compare
        settings = combination.inversion_settings.model_copy(update={"inner_steps": 2})
        combination = replace(combination, inversion_settings=settings)
    processors = dict(model.unet.attn_processors)
    edited, rows = plainly(model, combination, samples[1])
    assert model.unet.attn_processors == processors
    expected, _ = edit_latents(model, samples[1:2], combination)
    # Null-text: Adam turns the sign of a tiny gradient, which is noise, into a whole step.
    tolerance = 1e-2 if inversion == "null_text" else 5e-4
    torch.testing.assert_close(edited, expected, atol=tolerance, rtol=0)
    assert expected_rows in (rows, None)


@pytest.mark.parametrize(
    "pair", [pytest.param("negative_prompt+p2p", marks=pytest.mark.slow), "negative_prompt+proximal"]
)
def test_beyond_table_1(model, samples, pair):
    combination = recipe("paper").combination(*pair.split("+"))
    edited, rows = plainly(model, combination, samples[0])
    expected, _ = edit_latents(model, samples[:1], combination)
    torch.testing.assert_close(edited, expected, atol=5e-4, rtol=0)
    assert rows == reference_evaluations(combination)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return load_model(str(save_tiny_sdxl(tmp_path_factory.mktemp("sdxl"))))


PAIRS_OF_SDXL = [*recipe("table1").pairs, ("negative_prompt", "p2p"), ("negative_prompt", "proximal")]
EACH_CONTROL_ONCE = [("direct", "p2p"), ("direct", "pnp"), ("ddim", "masactrl")]
"""Under an inversion of each kind; the others repeat what is tested of Stable Diffusion 1.x above."""


def of_sdxl(pair):
    return pytest.param(*pair, marks=[] if pair in EACH_CONTROL_ONCE else pytest.mark.slow)


@pytest.mark.parametrize(("inversion", "method"), [*map(of_sdxl, PAIRS_OF_SDXL)])
def test_so_are_edits_by_stable_diffusion_xl(sdxl, samples, inversion, method):
    """Unconditional rows are zeros, and rows have pooled embeddings and sizes besides their tokens."""
    name = "table1" if (inversion, method) in recipe("table1").pairs else "paper"
    few = {"steps": 5, "inversion.inner_steps": 2, "method.start_step": 1, "method.start_layer": 6}
    combination = shipped(name, {**OVERRIDES, "family": "sdxl", **few}).combination(inversion, method)
    edited, rows = plainly(sdxl, combination, samples[1], layers_of(sdxl.family))
    expected, _ = edit_latents(sdxl, samples[1:2], combination)
    tolerance = 1e-2 if inversion == "null_text" else 5e-4
    torch.testing.assert_close(edited, expected, atol=tolerance, rtol=0)
    if (inversion, method) == ("direct", "p2p"):
        assert rows == reference_evaluations(combination)


def test_where_plug_and_play_acts_is_told(sdxl, samples):
    combination = shipped("table1", {**OVERRIDES, "family": "sdxl", "steps": 2}).combination("direct", "pnp")
    places = [Layers(), Layers(features="up_blocks.0.resnets.1.conv2"), Layers(queries=5)]
    default, features, queries = (plainly(sdxl, combination, samples[0], layers)[0] for layers in places)
    assert (features - default).abs().max() > 1e-3 and (queries - default).abs().max() > 1e-3


def test_what_is_not_written_is_refused(model, samples):
    fields = {"model": "demo", "inversions": ["ddim"], "methods": ["pnp"]}
    combination = build_recipe(fields, {}, "test").combination("ddim", "pnp")
    with pytest.raises(ValueError, match=r"ddim\+pnp: inversion\.source_latents"):
        plainly(model, combination, samples[0])

"""Plain SDXL: diffusers' own pipeline with DDIM, and DDIM inversion, recorded on a small model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import invert_ode, sample_ode
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.cache import Cache
from piebench_eval.models.decoding import decode_with_fallback
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.sd1 import padded_tokens
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from piebench_eval.runs.edit_inputs import plan_schedule
from piebench_eval.runs.forecast import count_evaluations
from tests.golden.recordings import GREY_LEVELS, SHARE_OF_VALUES, load_flow_case

pytestmark = pytest.mark.golden

CASES = ["case1", pytest.param("case2", marks=pytest.mark.slow)]
SIZE = (512, 512)
GUIDED = Guidance(7.5)

# The recordings' own recommendation; guided latents of this untrained model have a deviation of 4.
LATENT_MAX, LATENT_RMS = 1e-3, 1.5e-4
STRIDED_TOLERANCE, UNIT_TOLERANCE, INVERTED_TOLERANCE = 2e-3, 3e-4, 1e-4

# Recorded as their sum: model evaluations of each part.
ROWS = {"inversion": 6, "plain": 12, "reconstruction": 6, "edit": 12}


@pytest.fixture(scope="module")
def model(golden_flow_c):
    """The small model of the recordings; it remembers shared work."""
    model = load_model(str(golden_flow_c / "tiny-sdxl"))
    model.cache = Cache({})
    return model


@pytest.fixture(scope="module")
def combination(golden_flow_c):
    fields = {
        "model": str(golden_flow_c / "tiny-sdxl"),
        "inversions": ["ddim"],
        "methods": ["plain"],
        "steps": 6,
        "resolution": SIZE[0],
        "image_loader": "resize",
    }
    recipe = build_recipe(fields, {}, "test")
    return recipe, recipe.combination("ddim", "plain")


@pytest.fixture(scope="module")
def schedule(model, combination):
    return plan_schedule(model, combination[1].common)


@pytest.fixture(scope="module")
def noise(golden_flow_c):
    return torch.from_numpy(np.load(golden_flow_c / "extra" / "noise.npz")["ddim_noise"])


@pytest.fixture(scope="module")
def units(golden_flow_c):
    return np.load(golden_flow_c / "extra" / "unit_sdxl.npz")


def recording_of(folder, case, name="ddim_sdxl"):
    return np.load(folder / "npz" / f"{name}__{case}.npz")


def near(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)


def check_latent(found, expected):
    error = np.abs(found.numpy() - expected)
    assert error.max() <= LATENT_MAX
    assert np.sqrt((error**2).mean()) <= LATENT_RMS


def strided(trajectory):
    """Every fourth row and column of one sample's trajectory, from the noise to the image."""
    return trajectory.flip(0)[:, 0, :, ::4, ::4]


def inputs_of(folder, case, model):
    return encode_inputs(model, [load_flow_case(folder, case)], SIZE[0], loader="resize")


@pytest.mark.parametrize("case", ["case1", "case2"])
def test_token_ids_of_both_tokenizers(golden_flow_c, model, units, case):
    sample = load_flow_case(golden_flow_c, case)
    texts = {f"{case}_source": sample.source_prompt, f"{case}_target": sample.target_prompt, "empty": ""}
    for name in model.family.tokenizers:
        for key, text in texts.items():
            found = padded_tokens(getattr(model, name), text)[0]
            np.testing.assert_array_equal(found, units[f"ids_{name}_{key}"])


@pytest.mark.parametrize("case", ["case1", "case2"])
def test_embeddings(golden_flow_c, model, case):
    recording = recording_of(golden_flow_c, case)
    sample = load_flow_case(golden_flow_c, case)
    found = model.embed_prompts([sample.source_prompt, sample.target_prompt, ""], SIZE)
    for row, name in enumerate(("{}src_{}", "{}tar_{}", "{}neg_{}_quoted_empty")):
        near(found.tokens[row : row + 1], recording[name.format("", "embeds")], UNIT_TOLERANCE)
        near(found.pooled[row : row + 1], recording[name.format("", "pooled")], UNIT_TOLERANCE)
    of_turbo = recording_of(golden_flow_c, case, "turbo4")
    near(found.tokens[:2], of_turbo["prompt_embeds"], UNIT_TOLERANCE)
    near(found.pooled[:2], of_turbo["pooled"], UNIT_TOLERANCE)
    np.testing.assert_array_equal(found.vectors["time_ids"], of_turbo["time_ids"])
    unconditional = model.embed_uncond(1, SIZE)
    assert not unconditional.tokens.any() and not unconditional.pooled.any()
    np.testing.assert_array_equal(unconditional.vectors["time_ids"], recording["time_ids"])


@pytest.mark.parametrize("case", ["case1", "case2"])
def test_encoded_picture(golden_flow_c, model, units, case):
    found = inputs_of(golden_flow_c, case, model).latents
    near(found, recording_of(golden_flow_c, case)["z0"], INVERTED_TOLERANCE)
    if case == "case2":
        near(found / model.vae.config.scaling_factor, units["vae_mean"], UNIT_TOLERANCE)


def test_decoded_picture(golden_flow_c, model, units):
    z0 = torch.from_numpy(recording_of(golden_flow_c, "case2")["z0"])
    with torch.no_grad():
        pixels = decode_with_fallback(model.vae, z0 / model.vae.config.scaling_factor, 1, print)
    near(pixels[..., 224:288, 224:288], units["decoded_z0_crop"], UNIT_TOLERANCE)


def test_unet(golden_flow_c, model, units):
    z0 = torch.from_numpy(recording_of(golden_flow_c, "case2")["z0"])
    source = model.embed_prompts([load_flow_case(golden_flow_c, "case2").source_prompt], SIZE)
    for timestep, expected in zip(units["unet_z0_t"].tolist(), units["unet_z0"], strict=True):
        with torch.no_grad():
            near(model.predict(z0, timestep, source, [0])[0], expected, UNIT_TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_plain_sampling(golden_flow_c, model, schedule, noise, case, monkeypatch):
    """Guided away from zeros, as the pipeline does where no negative prompt is given."""
    recording, outputs = recording_of(golden_flow_c, case), []
    predict = model.predict

    def recorded(*arguments):
        outputs.append(predict(*arguments))
        return outputs[-1]

    monkeypatch.setattr(model, "predict", recorded)
    assert list(schedule.timesteps[::-1]) == recording["timesteps"].tolist()
    source = model.embed_prompts([load_flow_case(golden_flow_c, case).source_prompt], SIZE)
    model.evaluations = EvaluationCounter()
    found = sample_ode(model, noise, source, model.embed_uncond(1, SIZE), schedule, GUIDED)
    assert model.evaluations.forward[0] == ROWS["plain"]
    check_latent(found[0], recording["plain_latent"])
    near(strided(found), recording["plain_traj_strided"], STRIDED_TOLERANCE)
    of_rows = torch.cat([torch.cat(outputs[1::2])[:, None], torch.cat(outputs[::2])[:, None]], dim=1)
    near(of_rows[..., ::4, ::4], recording["plain_unet_out_strided"], STRIDED_TOLERANCE)


@pytest.mark.slow  # tests/models/test_sdxl.py compares both with the pipeline
@pytest.mark.parametrize("case", ["case1", "case2"])
def test_plain_sampling_away_from_the_empty_prompt(golden_flow_c, model, schedule, noise, case):
    """As of a model whose model_index.json says force_zeros_for_empty_prompt false."""
    empty = replace(model, zeros_for_empty_prompt=False).embed_uncond(1, SIZE)
    assert empty.equals(model.embed_prompts([""], SIZE))
    source = model.embed_prompts([load_flow_case(golden_flow_c, case).source_prompt], SIZE)
    found = sample_ode(model, noise, source, empty, schedule, GUIDED)
    check_latent(found[0], recording_of(golden_flow_c, case)["plain_latent_negempty"])


@pytest.mark.parametrize("case", CASES)
def test_inversion_and_reconstruction(golden_flow_c, model, combination, schedule, case):
    recording, inputs = recording_of(golden_flow_c, case), inputs_of(golden_flow_c, case, model)
    settings = combination[1].inversion_settings
    model.evaluations = EvaluationCounter()
    found = INVERSIONS.get("ddim").invert(model, inputs, schedule, settings).trajectory
    assert model.evaluations.forward[0] == ROWS["inversion"]
    near(found[-1], recording["xT"], INVERTED_TOLERANCE)
    near(found[:, 0, :, ::4, ::4], recording["inv_traj_strided"], STRIDED_TOLERANCE)
    texts = [inputs.inversion_embeds, inputs.uncond_embeds]
    own = invert_ode(model, inputs.latents, *texts, schedule, evaluate_at="own")
    near(own[-1][..., ::4, ::4], recording["xT_at_strided"], INVERTED_TOLERANCE)
    assert (own[-1] - found[-1]).abs().max() > 0.01
    model.evaluations = EvaluationCounter()
    reconstruction = sample_ode(model, found[-1], *texts, schedule)
    assert model.evaluations.forward[0] == ROWS["reconstruction"]
    check_latent(reconstruction[0], recording["recon_latent"])


@pytest.mark.parametrize("case", CASES)
def test_edit(golden_flow_c, model, combination, case):
    """By a recipe, and at the recorded cost, which the dry run knows before."""
    recipe, ddim_and_plain = combination
    recording, sample = recording_of(golden_flow_c, case), load_flow_case(golden_flow_c, case)
    model.evaluations = EvaluationCounter()
    final, _ = edit_latents(model, [sample], ddim_and_plain)
    check_latent(final, recording["final_latent"])
    assert sum(ROWS.values()) == recording["rows"]
    rows = ROWS["inversion"] + ROWS["edit"]
    assert model.evaluations.forward[0] == rows
    assert [cost.forward for cost in count_evaluations(recipe, [sample]).values()] == [rows]
    image = model.decode_latents(final)[0, 192:320, 192:320].astype(int)
    # The pipeline rounds to whole grey levels, and the package truncates as the editors' published code does.
    assert (np.abs(image - recording["edited_image_crop"]) <= GREY_LEVELS).mean() >= SHARE_OF_VALUES
    with torch.no_grad():
        pixels = decode_with_fallback(model.vae, final / model.vae.config.scaling_factor, 1, print)[0]
    rounded = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0)[192:320, 192:320]
    apart = np.abs(rounded.numpy() - recording["edited_image_crop"])
    assert apart.max() <= GREY_LEVELS and (apart > 0).mean() < 1 - SHARE_OF_VALUES

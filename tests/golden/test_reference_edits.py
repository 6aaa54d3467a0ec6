"""Same weights, same inputs: the reference implementation's numbers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from piebench_eval.diffusion import words
from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Branch
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.null_text import NullTextSettings, SourceStep, optimise_step
from piebench_eval.methods import METHODS
from piebench_eval.methods.p2p import P2PSettings
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from tests.golden.recordings import (
    CASES,
    GREY_LEVELS,
    INVERSION_NAMES,
    METHOD_NAMES,
    SHARE_OF_VALUES,
    STEPS,
    TRAJECTORY_TOLERANCE,
    check_final,
    load_case,
)
from tests.support.plain import plain_edit
from tests.support.recipes import shipped

pytestmark = pytest.mark.golden

FIRST_AND_SLOW_OTHERS = [CASES[0], *(pytest.param(case, marks=pytest.mark.slow) for case in CASES[1:])]


def edits():
    """Every combination of configs/paper.yaml on every case that was recorded.

    On the first case, the one whose blend masks are a part of the picture, every inversion and every method
    is tested; the rest repeats them, as negative_prompt+p2p does negative_prompt+proximal, and direct+p2p
    does its control and the offsets of direct+pnp. Both branches of ddim+p2p, whose later steps are
    negative_prompt+proximal's, are in ``test_ddim_and_p2p_begin_alike``, edit_friendly's latents and maps in
    ``test_edit_friendly_latents``. Null-text's hundred updates take minutes; its first are in
    ``test_null_text_begins_alike``.
    """
    for case in CASES:
        for pair in map("+".join, shipped("paper").pairs):
            repeats = pair in (
                "ddim+masactrl",
                "ddim+p2p",
                "ddim+pnp",
                "direct+p2p",
                "edit_friendly+p2p",
                "negative_prompt+p2p",
            )
            is_slow = case != CASES[0] or repeats or pair.startswith("null_text")
            yield pytest.param(pair, case, marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.parametrize(("pair", "case"), edits())
def test_edit(golden, reference, paper, pair, case):
    """By configs/paper.yaml, at the recordings' step count; what combinations share is shared."""
    inversion, method = pair.split("+")
    name = f"{INVERSION_NAMES[inversion]}+{METHOD_NAMES.get(method, method)}"
    recording = np.load(golden / "npz" / f"{name}__{case}.npz")
    reference.evaluations = EvaluationCounter()
    combination = paper.combination(inversion, method)
    final, _ = edit_latents(reference, [load_case(golden, case)], combination)
    # Wider for null-text: Adam turns the sign of a tiny gradient, which is noise, into a whole step.
    check_final(final, recording, *((1e-2, 1e-3) if inversion == "null_text" else ()))
    cost = pd.read_csv(golden / "official_cost.csv", index_col="method").loc[name, "unet_samples_N10"]
    assert reference.evaluations.forward[0] < cost
    if "null_n_inner" in recording:
        assert reference.evaluations.backward[0] == recording["null_n_inner"].sum()
    image = reference.decode_latents(final, combination.common.quirks.pixel_overflow)[0].astype(int)
    if "edited_image" in recording:
        expected = recording["edited_image"].astype(int)
    else:
        image, expected = image[128:384, 128:384], recording["edited_image_crop"].astype(int)
    # Modulo 256: where edit-friendly's grey levels wrap around, 255 and 0 are neighbours.
    apart = np.abs(image - expected)
    assert (np.minimum(apart, 256 - apart) <= GREY_LEVELS).mean() >= SHARE_OF_VALUES
    if combination.common.quirks.pixel_overflow == "clamp":
        assert (apart <= GREY_LEVELS).mean() >= SHARE_OF_VALUES


class Stop(Exception):
    """Enough steps."""


def test_ddim_and_p2p_begin_alike(golden, reference, paper, monkeypatch):
    """Both branches step by step; the third step is the first that blends."""
    steps = 4
    recording = np.load(golden / "npz" / "ddim+p2p__case1_cake.npz")
    found, end_step = [], AttentionController.end_step

    def record(self, step, latents):
        target = end_step(self, step, latents)
        found.append(torch.cat([latents[Branch.SOURCE], target]))
        if len(found) == steps:
            raise Stop
        return target

    monkeypatch.setattr(AttentionController, "end_step", record)
    with pytest.raises(Stop):
        edit_latents(reference, [load_case(golden, "case1_cake")], paper.combination("ddim", "p2p"))
    found = torch.stack(found)
    check_final(found[..., ::8, ::8], {"final_latent": recording["edit_traj_strided"][:steps]})
    check_final(found[:, 1], {"final_latent": recording["edit_traj_target"][:steps]})


@pytest.mark.parametrize("case", FIRST_AND_SLOW_OTHERS)
@pytest.mark.parametrize(
    ("inversion", "name"), [("ddim", "ddim+p2p"), ("direct", "directinversion+masactrl")]
)
def test_trajectory(golden, reference, case, inversion, name):
    """MasaCtrl inverts with an empty prompt, the others with the source prompt."""
    recording = np.load(golden / "npz" / f"{name}__{case}.npz")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    assert list(schedule.timesteps[::-1]) == recording["timesteps"].tolist()
    sample, method = load_case(golden, case), METHODS.get(name.split("+")[1])
    inputs = encode_inputs(reference, [sample], 512, [method.prompts(sample, method.settings())])
    np.testing.assert_allclose(inputs.latents, recording["z0"], atol=TRAJECTORY_TOLERANCE, rtol=0)
    entry = INVERSIONS.get("ddim")
    found = entry.invert(reference, inputs, schedule, entry.settings()).trajectory
    strided = found[:, 0, :, ::8, ::8]
    np.testing.assert_allclose(strided, recording["inv_latents_strided"], atol=TRAJECTORY_TOLERANCE, rtol=0)
    np.testing.assert_allclose(found[-1], recording["xT"], atol=TRAJECTORY_TOLERANCE, rtol=0)


@pytest.mark.parametrize("case", FIRST_AND_SLOW_OTHERS)
@pytest.mark.parametrize("inversion", ["ddim", "direct"])
def test_latents_that_plug_and_play_copies_from(golden, reference, paper, case, inversion):
    recording = np.load(golden / "npz" / f"{INVERSION_NAMES[inversion]}+pnp__{case}.npz")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    inputs = encode_inputs(reference, [load_case(golden, case)], 512)
    settings = paper.combination(inversion, "pnp").inversion_settings
    found = INVERSIONS.get(inversion).invert(reference, inputs, schedule, settings).trajectory
    np.testing.assert_allclose(found[-1], recording["edit_start_latent"], atol=TRAJECTORY_TOLERANCE, rtol=0)
    rows = found[1:].flip(0)[:, 0, :, ::8, ::8]
    # In float32 the recording itself is up to 1.8e-4 from the same computation in double precision.
    np.testing.assert_allclose(rows, recording["edit_source_rows_strided"], atol=3e-4, rtol=0)


@pytest.mark.parametrize("case", FIRST_AND_SLOW_OTHERS)
def test_edit_friendly_latents(golden, reference, case):
    recording = np.load(golden / "npz" / f"edit-friendly-inversion+p2p__{case}.npz")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    entry = INVERSIONS.get("edit_friendly")
    inputs = encode_inputs(reference, [load_case(golden, case)], 512)
    inverted = entry.invert(reference, inputs, schedule, entry.settings())
    assert inverted.steps == STEPS - 2
    found, expected = inverted.trajectory[1:, 0], recording["xts"][1 : inverted.steps + 1]
    np.testing.assert_allclose(found, expected, atol=TRAJECTORY_TOLERANCE, rtol=0)
    np.testing.assert_array_equal(recording["xT"], expected[-1])
    sigmas = torch.tensor([schedule.sigma(level) or 1 for level in range(1, inverted.steps + 1)])
    maps = (inverted.offsets / sigmas[:, None, None, None, None])[:, 0, :, ::8, ::8]
    np.testing.assert_allclose(maps, recording["zs_strided"][: inverted.steps], atol=2e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_guided_inversion(golden, reference, paper, case):
    """The paper's guidance ablation: inversion at 2.5, editing at 7.5."""
    recording = np.load(golden / "npz" / f"directinversion+p2p_guidance_25_75__{case}.npz")
    direct = paper.combination("direct", "p2p")
    guided = replace(direct, inversion_settings=type(direct.inversion_settings)(guidance=2.5))
    final, _ = edit_latents(reference, [load_case(golden, case)], guided)
    check_final(final, recording)


@pytest.mark.slow
def test_the_plain_implementation(golden, reference):
    """The second opinion that the small tests, the own golden set and the bench rest on: at its cheapest.

    It repeats what test_plain.py implies, which compares it with the package, together with test_edit.
    """
    recording = np.load(golden / "npz" / "negative-prompt-inversion+p2p__case1_cake.npz")
    sample = load_case(golden, "case1_cake")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    latents = encode_inputs(reference, [sample], 512).latents
    final = plain_edit(reference, schedule, sample, latents, "negative_prompt", P2PSettings())
    check_final(final, recording)


@pytest.mark.parametrize("case", CASES)
def test_refinement_alignment(golden, reference, case):
    recording = np.load(golden / "npz" / f"ddim+p2p__{case}.npz")
    sample, tokenizer = load_case(golden, case), reference.tokenizer
    ids = [words.token_ids(prompt, tokenizer) for prompt in (sample.source_prompt, sample.target_prompt)]
    mapper, taken = words.refinement_alignment(*ids, 77)
    np.testing.assert_array_equal(mapper, recording["mapper"])
    np.testing.assert_array_equal(taken, recording["alphas"])


@pytest.mark.parametrize("case", CASES)
def test_replacement_matrix(golden, reference, case):
    recording = np.load(golden / "npz" / f"edit-friendly-inversion+p2p__{case}.npz")
    if str(recording["controller"]) != "AttentionReplace":
        pytest.skip("the reference aligned this case by refinement")
    sample = load_case(golden, case)
    matrix = words.replacement_matrix(sample.source_prompt, sample.target_prompt, reference.tokenizer)
    np.testing.assert_array_equal(matrix, recording["mapper"])


@pytest.mark.slow  # test_edit holds the latents that it decides
def test_blend_mask(golden, reference, paper, monkeypatch):
    """Case 1 is the one whose mask is a part of the picture."""
    from piebench_eval.diffusion.local_blend import LocalBlend

    masks = []
    blend = LocalBlend.blend

    def recording_blend(self, step, source, target):
        if step >= self.start_step:
            masks.append(self.masks(*target.shape[-2:]).any(dim=1)[0].numpy())
        return blend(self, step, source, target)

    monkeypatch.setattr(LocalBlend, "blend", recording_blend)
    recording = np.load(golden / "npz" / "directinversion+p2p__case1_cake.npz")
    sample = load_case(golden, "case1_cake")
    edit_latents(reference, [sample], paper.combination("direct", "p2p"))
    expected = np.unpackbits(recording["blend_mask"], axis=-1).astype(bool)
    assert 0 < expected.mean() < 1
    assert (np.stack(masks) != expected).sum() <= 2


def test_text_embeddings_are_padded_and_truncated(reference):
    embeddings = reference.embed_prompts(["", "a cat", "a cat " * 100])
    assert embeddings.tokens.shape == (3, 77, 32)
    assert torch.isfinite(embeddings.tokens).all()


def test_null_text_begins_alike(golden, reference, paper):
    """The embeddings of the first level after ten updates, those that all later levels begin with."""
    recording = np.load(golden / "npz" / "null-text-inversion+p2p__case1_cake.npz")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    inputs = encode_inputs(reference, [load_case(golden, "case1_cake")], 512)
    ddim = INVERSIONS.get("ddim")
    wanted = ddim.invert(reference, inputs, schedule, ddim.settings()).trajectory
    timestep = schedule.timesteps[STEPS - 1]
    with torch.no_grad():
        cond = reference.predict(wanted[-1], timestep, inputs.inversion_embeds, [0])
    step = SourceStep(
        reference, wanted[-1], cond, inputs.uncond_embeds, schedule, STEPS, inputs.guidance.of_source
    )
    reference.evaluations = EvaluationCounter()
    settings = paper.combination("null_text", "p2p").inversion_settings
    found = optimise_step(step, inputs.uncond_embeds.tokens, wanted[STEPS - 1], 0, settings)
    assert reference.evaluations.backward[0] == recording["null_n_inner"][0]
    moved = (found - inputs.uncond_embeds.tokens)[0, :, :8]
    assert moved.abs().max() > 1e-2
    expected = torch.from_numpy(recording["uncond_embeddings_first8"][0])
    torch.testing.assert_close(found[0, :, :8], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [1, pytest.param(STEPS, marks=pytest.mark.slow)])
def test_null_text_stops_early(golden, reference, steps):
    """Each step from the reference's own state: the first loss is 1e-11, and Adam makes noise of it.

    The first four steps are those that stop early.
    """
    recording = np.load(golden / "extra" / "null_text_early_stop.npz")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    trajectory = torch.from_numpy(recording["trajectory"])[:, None]
    cond_text = Conditioning(torch.from_numpy(recording["cond"]))
    embeddings, latents = torch.from_numpy(recording["uncond_init"]), trajectory[-1]
    for index, expected in enumerate(recording["n_inner"][:steps]):
        level = STEPS - index
        with torch.no_grad():
            cond = reference.predict(latents, schedule.timesteps[level - 1], cond_text, [0])
        step = SourceStep(reference, latents, cond, cond_text, schedule, level, guidance=7.5)
        reference.evaluations = EvaluationCounter()
        optimise_step(step, embeddings, trajectory[level - 1], index, NullTextSettings())
        assert abs(reference.evaluations.backward[0] - int(expected)) <= 1
        embeddings = torch.from_numpy(recording["uncond_embeddings"][index])[None]
        with torch.no_grad():
            latents = step.guided(embeddings, [0])

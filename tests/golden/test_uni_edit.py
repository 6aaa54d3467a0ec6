"""The numbers of UniEdit-Flow on Stable Diffusion 3, by its schedulers for diffusers, from embeddings."""

import json

import numpy as np
import pytest
import torch
from diffusers import SD3Transformer2DModel

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import EditInputs, edit
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.diffusion.schedules import shifted_flow_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods.uni_edit import UniEditController, UniEditSettings
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.sd3 import StableDiffusion3

pytestmark = pytest.mark.golden

# The recordings' own recommendation.
INVERTED, FINAL_MAX, FINAL_RMS, MASKS, BETWEEN = 3e-5, 1e-4, 1e-5, 1e-4, 3e-4
SIGMAS = 1e-6

CASES = ["case2", pytest.param("case1", marks=pytest.mark.slow)]  # not square, and alpha rounds either way


@pytest.fixture(scope="module")
def model(golden_flow_b):
    transformer = SD3Transformer2DModel.from_pretrained(golden_flow_b / "tiny-sd3-b" / "transformer")
    parts = dict.fromkeys(("vae", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"))
    return StableDiffusion3(transformer=transformer.eval(), device=torch.device("cpu"), **parts)


@pytest.fixture(scope="module")
def schedules(golden_flow_b):
    scheduler = json.loads((golden_flow_b / "tiny-sd3-b/scheduler/scheduler_config.json").read_text())
    return lambda steps: shifted_flow_schedule(steps, scheduler["shift"])


class Case:
    """A recorded case: its arrays, its inputs, and the number of steps."""

    def __init__(self, folder, run, name):
        about = json.loads((folder / "cases.json").read_text())[name]
        self.steps, self.options = about["num_steps"], about["runs"][run]
        self.recorded = np.load(folder / "npz" / f"{run}__{name}.npz")
        arrays = {key: torch.from_numpy(value) for key, value in np.load(folder / about["inputs"]).items()}
        source, target, null = (
            Conditioning(arrays[f"txt_{kind}"], arrays[f"vec_{kind}"]) for kind in ("src", "tgt", "null")
        )
        given = source if "prompt" in self.options else null
        texts = {"inversion": given, "source": source, "target": target, "uncond": null, "negative": source}
        self.inputs = EditInputs(
            arrays["z0"],
            *(texts[kind] for kind in ("inversion", "source", "target", "uncond", "negative")),
            source_is_uncond=[False],
            source_is_inversion=[given is source],
            guidance=Guidance(1.0),
        )

    def invert(self, model, schedule):
        entry = INVERSIONS.get("uni_inv")
        settings = entry.settings(alpha=self.options["alpha"], alpha_rounds="down")
        return entry.invert(model, self.inputs, schedule, settings)

    def near(self, found, name, tolerance, rms=None):
        error = np.abs(np.asarray(found) - self.recorded[name])
        assert error.max() <= tolerance and (rms is None or np.sqrt((error**2).mean()) <= rms), name


@pytest.mark.parametrize("name", CASES)
def test_inversion_and_reconstruction(model, golden_flow_b, schedules, name):
    case = Case(golden_flow_b, "unidiff_sd3_recon", name)
    schedule = schedules(case.steps)
    case.near(schedule.sigmas, "inv_sigmas", SIGMAS)
    model.evaluations = EvaluationCounter()
    trajectory = case.invert(model, schedule).trajectory
    assert model.evaluations.forward[0] == case.recorded["n_calls_inv"] == case.steps + 1
    case.near(trajectory[-1], "inv_final", INVERTED)
    case.near(trajectory[..., ::4, ::4].squeeze(1), "inv_corrected_strided", BETWEEN)
    again = sample_ode(model, trajectory[-1], case.inputs.source_embeds, case.inputs.uncond_embeds, schedule)
    case.near(again[0], "edit_final", FINAL_MAX, FINAL_RMS)


@pytest.mark.parametrize("name", CASES)
def test_edit(model, golden_flow_b, schedules, name):
    """Its two rows per step are our two of the target: no row of the source."""
    case = Case(golden_flow_b, "unidiff_sd3_edit", name)
    schedule = schedules(case.steps)
    model.evaluations = EvaluationCounter()
    inverted = case.invert(model, schedule)
    assert model.evaluations.forward[0] == case.recorded["n_calls_inv"] == inverted.steps + 1
    case.near(inverted.trajectory[-1], "inv_final", INVERTED)
    controller = UniEditController(1, UniEditSettings(omega=case.options["omega"], mask="signed"))
    found = edit(model, case.inputs, inverted, controller, schedule)
    case.near(found, "edit_final", FINAL_MAX, FINAL_RMS)
    rows = model.evaluations.forward[0] - case.recorded["n_calls_inv"]
    assert rows == case.recorded["rows_edit"] * case.recorded["n_calls_edit"] == 2 * inverted.steps

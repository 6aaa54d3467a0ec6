"""FLUX.1 from given embeddings: the numbers of RF-Solver's, FireFlow's and UniEdit-Flow's codes.

Nothing is shared between branches here. UniEdit-Flow has two versions: its code for FLUX, and its schedulers
for diffusers.
"""

import json

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import EditInputs, edit
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods.uni_edit import UniEditController, UniEditSettings
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.flux import Flux
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.runs.edit_inputs import plan_schedule

pytestmark = pytest.mark.golden

# The recordings' own recommendation: of solvers, of Uni-Edit, and of what is between.
FINAL = {"solver": (3e-5, 3e-6), "uni_edit": (1e-4, 1e-5)}
INVERTED, MASKS, BETWEEN, TIMES, SIGMAS = (3e-5, 3e-6), 1e-4, 3e-4, 1e-7, 1e-6

SOLVED = {"euler": "euler", "rfsolver": "rf_solver", "midpoint": "rf_solver", "fireflow": "fireflow"}
"""Inversions by the names of runs; the midpoint rule and RF-Solver are the same numbers."""


def of_cases(runs):
    """Each of the runs with a case; slow ones repeat others."""
    return [pytest.param(run, case, marks=pytest.mark.slow if slow else []) for run, case, slow in runs]


@pytest.fixture(scope="module")
def model(golden_flow_b):
    folder = golden_flow_b / "tiny-flux-b"
    transformer = FluxTransformer2DModel.from_pretrained(folder / "transformer").eval()
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    parts = dict.fromkeys(("vae", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"))
    return Flux(transformer=transformer, scheduler=scheduler, device=torch.device("cpu"), **parts)


class Case:
    """A recorded run of a case: its arrays, its inputs and its schedule."""

    def __init__(self, folder, run, name, model, guidance=None):
        about = json.loads((folder / "cases.json").read_text())[name]
        self.options = about["runs"][run]
        self.recorded = np.load(folder / "npz" / f"{run}__{name}.npz")
        arrays = {key: torch.from_numpy(value) for key, value in np.load(folder / about["inputs"]).items()}
        source, target, null = (
            Conditioning(arrays[f"txt_{kind}"], arrays[f"vec_{kind}"]) for kind in ("src", "tgt", "null")
        )
        given = null if "uniedit_edit" in run or run == "unidiff_flux_edit" else source
        texts = {"inversion": given, "source": source, "target": target, "uncond": null, "negative": source}
        self.inputs = EditInputs(
            arrays["z0"],
            *(texts[kind] for kind in ("inversion", "source", "target", "uncond", "negative")),
            source_is_uncond=[False],
            source_is_inversion=[given is source],
            guidance=guidance or Guidance(self.options.get("guidance_edit", 1.0), policy="embedded"),
            packing=model.family.packing,
        )
        self.schedule = plan_schedule(
            model, CommonSettings(model="small", steps=about["num_steps"]), tuple(arrays["z0"].shape[-2:])
        )
        self.model = model
        model.evaluations = EvaluationCounter()

    def invert(self, name, **settings):
        entry = INVERSIONS.get(name)
        inverted = entry.invert(self.model, self.inputs, self.schedule, entry.settings(**settings))
        self.near(inverted.trajectory[-1], "inv_final", *INVERTED)
        assert self.model.evaluations.forward[0] == self.recorded["n_calls_inv"]
        return inverted

    def near(self, found, name, tolerance, rms=None):
        error = np.abs(np.asarray(found) - self.recorded[name])
        assert error.max() <= tolerance and (rms is None or np.sqrt((error**2).mean()) <= rms), name

    @property
    def evaluations_of_edit(self):
        return self.model.evaluations.forward[0] - self.recorded["n_calls_inv"]


RECONSTRUCTED = of_cases(
    [
        ("euler_recon", "case2", False),
        ("rfsolver_recon", "case2", False),
        ("midpoint_recon", "case1", False),
        ("fireflow_recon", "case2", False),
        ("uniinv_recon", "case2", False),
        ("euler_recon", "case1", True),
        ("euler_recon", "case3", True),
        ("rfsolver_recon", "case1", True),
        ("rfsolver_recon", "case3", True),
        ("fireflow_recon", "case1", True),
        ("fireflow_recon", "case3", True),
        ("uniinv_recon", "case1", True),
    ]
)


@pytest.mark.parametrize(("run", "name"), RECONSTRUCTED)
def test_inversion_and_reconstruction(model, golden_flow_b, run, name):
    case = Case(golden_flow_b, run, name, model)
    case.near(case.schedule.sigmas[::-1], "timesteps", TIMES)
    inversion = SOLVED.get(run.removesuffix("_recon"), "uni_inv")
    inverted = case.invert(inversion, **({"evaluate_at": "own"} if inversion == "euler" else {}))
    case.near(inverted.trajectory[..., ::4, ::4].squeeze(1), "inv_traj_strided", BETWEEN)
    texts = case.inputs.source_embeds, case.inputs.uncond_embeds
    again = sample_ode(
        model, inverted.trajectory[-1], *texts, case.schedule, case.inputs.guidance, inverted.solver
    )
    case.near(again[0], "edit_final", *FINAL["solver"])
    case.near(again.flip(0)[..., ::4, ::4].squeeze(1), "edit_traj_strided", BETWEEN)
    assert case.evaluations_of_edit == case.recorded["n_calls_edit"]


def test_fireflows_edit_that_shares_nothing(model, golden_flow_b):
    case = Case(golden_flow_b, "fireflow_edit_noinject", "case1", model)
    found = edit(model, case.inputs, case.invert("fireflow"), AttentionController(1), case.schedule)
    case.near(found, "edit_final", *FINAL["solver"])
    assert case.evaluations_of_edit == case.recorded["n_calls_edit"] == case.schedule.steps + 1


EDITED = of_cases(
    [
        ("uniedit_edit", "case2", False),  # alpha rounds either way in the two versions
        ("uniedit_edit_zeroinit", "case1", False),
        ("uniedit_edit_g2", "case1", False),
        ("unidiff_flux_edit", "case2", False),
        ("uniedit_edit", "case1", True),
        ("uniedit_edit", "case3", True),
        ("unidiff_flux_edit", "case1", True),
        ("unidiff_flux_edit", "case3", True),
    ]
)


@pytest.mark.parametrize(("run", "name"), EDITED)
def test_uni_edit(model, golden_flow_b, run, name):
    """Both prompts on the target's latent, under the model's own scale; the mask has a value per token."""
    is_diffusers = run.startswith("unidiff")
    options = json.loads((golden_flow_b / "cases.json").read_text())[name]["runs"][run]
    guidance = Guidance(1.0, embedded=options.get("guidance_edit", 1.0))
    case = Case(golden_flow_b, run, name, model, guidance)
    inverted = case.invert(
        "uni_inv",
        alpha=options["alpha"],
        alpha_rounds="down" if is_diffusers else "half_even",
        zero_start=options.get("zero_init", False),
    )
    settings = UniEditSettings(omega=options["omega"], mask="signed" if is_diffusers else "absolute")
    controller = MasksKept(1, settings, model.family.packing)
    found = edit(model, case.inputs, inverted, controller, case.schedule)
    case.near(found, "edit_final", *FINAL["uni_edit"])
    case.near(torch.cat(controller.masks)[:, 0, ::2, ::2], "edit_mask", MASKS)
    rows = case.recorded["n_calls_edit"] * (case.recorded["rows_edit"] if is_diffusers else 1)
    assert case.evaluations_of_edit == rows == 2 * inverted.steps


class MasksKept(UniEditController):
    """Keeps the mask of each step, as it is found in what the guidance becomes."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.masks = []

    def modify_target_guidance(self, target):
        bent = super().modify_target_guidance(target)
        scale = (bent / target).nanmedian(dim=1, keepdim=True).values
        self.masks.append((scale - self.settings.omega) / (1 + self.settings.omega))
        return bent


@pytest.mark.parametrize(
    ("run", "name"),
    of_cases(
        [
            ("unidiff_flux_recon", "case2", False),
            ("unidiff_flux_recon_zeroinit", "case1", False),
            ("unidiff_flux_recon", "case1", True),
            ("unidiff_flux_recon", "case3", True),
        ]
    ),
)
def test_uni_inv_of_the_version_for_diffusers(model, golden_flow_b, run, name):
    case = Case(golden_flow_b, run, name, model)
    zero_start = run.endswith("zeroinit")
    inverted = case.invert("uni_inv", zero_start=zero_start)
    case.near(case.schedule.sigmas[zero_start:], "inv_sigmas", SIGMAS)
    texts = case.inputs.source_embeds, case.inputs.uncond_embeds
    again = sample_ode(model, inverted.trajectory[-1], *texts, case.schedule, case.inputs.guidance)
    case.near(again[0], "edit_final", *FINAL["uni_edit"])

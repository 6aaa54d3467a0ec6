"""The numbers of RF-Solver-Edit and FireFlow on FLUX, with all strategies, from latents and embeddings."""

import json

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import EditInputs, edit
from piebench_eval.diffusion.schedules import FlowSchedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods.feature_sharing import FeatureSharingController, FeatureSharingSettings
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.flux import Flux
from piebench_eval.models.nfe import EvaluationCounter

pytestmark = pytest.mark.golden

# The recordings' own recommendation.
LARGEST, RMS, BETWEEN = 3e-5, 3e-6, 3e-4

SOLVERS = {"reflow": "euler", "rf_solver": "rf_solver", "rf_midpoint": "rf_solver", "fireflow": "fireflow"}
FAST = [
    ("rfsolver_edit", "case2"),  # not square
    ("fireflow_edit", "case3"),  # of the empty source prompt
    ("fireflow_edit_addq_addk_replacev", "case1"),  # in some layers, with ratios
]
SLOW = [
    *((name, "case1") for name in ("euler_edit", "midpoint_edit", "fireflow_edit_noinject")),
    *((f"rfsolver_edit{kind}", "case1") for kind in ("", "_inject_all", "_alllayers")),
    *((f"fireflow_edit_{kind}", "case1") for kind in ("addq", "addk", "addv", "addq_replacev")),
    *((f"fireflow_edit_{kind}", "case1") for kind in ("inject_all", "replaceqk")),
    *((f"fireflow_edit{kind}", case) for kind, case in (("", "case1"), ("", "case2"))),
    *((name, "case1") for name in ("fireflow_edit_addk_replacev", "fireflow_recon", "rfsolver_recon")),
    *((name, "case2") for name in ("fireflow_edit_addq_replacev", "fireflow_recon", "euler_recon")),
    *((name, "case3") for name in ("rfsolver_edit", "midpoint_edit", "rfsolver_recon")),
]


@pytest.fixture(scope="module")
def model(golden_flow_b):
    transformer = FluxTransformer2DModel.from_pretrained(golden_flow_b / "tiny-flux-b/transformer")
    parts = dict.fromkeys(("vae", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"))
    return Flux(transformer=transformer.eval(), device=torch.device("cpu"), **parts)


def settings_of(options, steps):
    """A run's options as settings of the method."""
    strategy, ratios = options["editing_strategy"].split(), options["qkv_ratio"].split(",")
    if options["reuse_v"]:  # the strategy and its ratios are not read
        strategy, ratios = ["replace_v"], ["1", "1", "1"]
    names = ("query_ratio", "key_ratio", "value_ratio")
    return FeatureSharingSettings(
        inject=min(options["inject"], steps),
        editing_strategy=strategy,
        first_layer=options["start_layer_index"],
        last_layer=options["end_layer_index"],
        **dict(zip(names, map(float, ratios), strict=True)),
    )


@pytest.mark.parametrize(
    ("name", "case"), [*FAST, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in SLOW)]
)
def test_inversion_and_edit(model, golden_flow_b, name, case):
    about = json.loads((golden_flow_b / "cases.json").read_text())[case]
    options, recorded = about["runs"][name], np.load(golden_flow_b / "npz" / f"{name}__{case}.npz")
    times = recorded["timesteps"][::-1]
    schedule = FlowSchedule(tuple(1000 * times[1:]), tuple(times))
    arrays = {key: torch.from_numpy(value) for key, value in np.load(golden_flow_b / about["inputs"]).items()}
    source, target, null = (
        Conditioning(arrays[f"txt_{kind}"], arrays[f"vec_{kind}"])
        for kind in (options["source"], options["target"], "null")
    )
    controller = FeatureSharingController(1, settings_of(options, schedule.steps), single_stream=True)
    inputs = EditInputs(
        arrays["z0"],
        *(source, source, target, null, null),
        source_is_uncond=[False],
        source_is_inversion=[True],
        guidance=Guidance(options["guidance_edit"], options["guidance_inversion"], "embedded"),
        features=controller.features,
    )
    entry = INVERSIONS.get(SOLVERS[options["strategy"]])
    own = {"evaluate_at": "own"} if options["strategy"] == "reflow" else {}
    model.evaluations = EvaluationCounter()
    inverted = entry.invert(model, inputs, schedule, entry.settings(**own))
    near(inverted.trajectory[-1], recorded["inv_final"], LARGEST, RMS)
    near(strided(inverted.trajectory), recorded["inv_traj_strided"], BETWEEN)
    assert model.evaluations.forward[0] == recorded["n_calls_inv"]
    assert (sum(controller.memory.held.values()) > 0) == (options["inject"] > 0)
    final = edit(model, inputs, inverted, controller, schedule)
    near(final, recorded["edit_final"], LARGEST, RMS)
    assert model.evaluations.forward[0] == recorded["n_calls_inv"] + recorded["n_calls_edit"]
    assert not any(controller.memory.held.values())


def strided(latents):
    return latents.squeeze(1)[..., ::4, ::4]


def near(found, recorded, largest, rms=None):
    error = np.abs(found.numpy() - recorded)
    assert error.max() <= largest and (rms is None or np.sqrt((error**2).mean()) <= rms)

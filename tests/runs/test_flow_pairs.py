"""Every way to invert a flow with every way to share with the target, on small Stable Diffusion 3 and FLUX.1.

What is left out, and why: Plug-and-Play and InfEdit, which control layers that such models have not (they are
refused), and feature sharing with FlowEdit, FlowAlign and DNAEdit, which invert nothing along the flow.
"""

from functools import cache

import pytest

from piebench_eval.models.cache import Cache
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.compatibility import misfits, policy_of_pair
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents
from piebench_eval.runs.forecast import count_evaluations

STEPS, SIDE = 2, 128
FAMILIES_OF_FLOWS = ("sd3", "flux")

INVERSIONS = {
    "euler": ("euler", {}),
    "rf_solver": ("rf_solver", {}),
    "fireflow": ("fireflow", {}),
    "uni_inv": ("uni_inv", {}),
    "rf_inversion": ("rf_inversion", {}),
    "rf_inversion, as published": ("rf_inversion", {"step_order": "descending", "guidance": 0}),
    **{f"direct {solver}": ("direct", {"solver": solver, "evaluate_at": "own"})
       for solver in ("euler", "midpoint", "fireflow", "uni_inv")},
}  # fmt: skip
METHODS = {
    "plain": ("plain", {}),
    "the source branch's values": ("value_sharing", {"value_steps": 1, "first_layer": 0}),
    "its keys and values": ("masactrl", {"start_step": 0, "start_layer": 0, "source_prompt": "sample"}),
    "the inversion's values": ("feature_sharing", {"first_layer": 0}),
    "the inversion's keys and values": (
        "feature_sharing",
        {"first_layer": 0, "editing_strategy": ["replace_k", "replace_v"]},
    ),
    "uni_edit": ("uni_edit", {}),
    "rf_inversion": ("rf_inversion", {"stop": 1}),
    "p2p": ("p2p", {"cross_replace_steps": 1, "local_blend": False}),
}
FAST = {("fireflow", "the inversion's values"), ("rf_inversion", "p2p"), ("direct midpoint", "uni_edit")}
PAIRS = [
    pytest.param(inversion, method, marks=[] if (inversion, method) in FAST else pytest.mark.slow)
    for inversion in INVERSIONS
    for method in METHODS
    if method != "plain"
]


def recipe_of(family, folder, inversion, method):
    """Guided as the model is, or by unconditional rows where the method needs them."""
    (inversion, own), (method, chosen) = INVERSIONS[inversion], METHODS[method]
    policy = policy_of_pair(inversion, method, FAMILIES[family])
    fields = {
        "model": str(folder),
        "steps": STEPS,
        "resolution": SIDE,
        "guidance": 2,
        "guidance_policy": policy,
    }
    fields |= {"inversions": {inversion: own}, "methods": {method: chosen}}
    return build_recipe(fields, {}, "test")


@pytest.fixture(scope="module")
def edited(model_of, request, samples):
    """A function that edits, and checks that what it takes is what a dry run tells."""

    @cache
    def edit(family, inversion, method):
        recipe = recipe_of(family, request.getfixturevalue(f"tiny_{family}"), inversion, method)
        combination = recipe.combination(*recipe.pairs[0])
        assert not misfits(combination, FAMILIES[family])
        model = model_of(family)
        model.evaluations, model.cache = EvaluationCounter(), Cache({})
        latents, _ = edit_latents(model, samples[:1], combination)
        (told,) = count_evaluations(recipe, samples[:1]).values()
        assert told.forward == model.evaluations.forward[0]
        return latents

    return edit


@pytest.mark.parametrize(("inversion", "method"), PAIRS)
@pytest.mark.parametrize("family", FAMILIES_OF_FLOWS)
def test_every_pair_edits_and_its_method_acts(edited, family, inversion, method):
    found, plain = (edited(family, inversion, chosen) for chosen in (method, "plain"))
    assert found.isfinite().all() and (found - plain).abs().max() > 1e-3

"""What holds for every inversion with every method and every family of models that they go with.

Those without reference code are included.
"""

import dataclasses

import pytest
import torch

from piebench_eval.combination_names import combination_name
from piebench_eval.diffusion.guidance import guide
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.ode import follow
from piebench_eval.diffusion.rows import Row
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from piebench_eval.runs.edit_inputs import plan_guidance, plan_schedule
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.runs.store.records import EditKey
from tests.support.pairs import CONTROLLING, PAIRS_OF_FAMILIES, goes_with, marked, methods_of_families
from tests.support.recipes import shipped
from tests.support.sampling import source_end

STEPS, SIDE = 3, 128
BLENDED, INSERTED, UNBLENDED, HALF_FOUND = range(4)
SWITCHED_OFF = {
    "p2p": {"cross_replace_steps": 0, "self_replace_steps": 0, "local_blend": False},
    "proximal": {
        "cross_replace_steps": 0,
        "self_replace_steps": 0,
        "local_blend": False,
        "quantile": 0,
        "shrink": "hard",
    },
    "pnp": {"feature_steps": 0, "attention_steps": 0},
    "masactrl": {"start_step": STEPS},  # or more than there are
    "plain": {},
    "value_sharing": {"value_steps": 0},
    "infedit": {"cross_replace_steps": 0, "self_replace_steps": 0, "local_blend": False},
    "feature_sharing": {"inject": 0},
    "pix2pix_zero": {"attention_guidance": 0},
    "dnaedit": {"mvg": 1},
    "rf_inversion": {"eta": 0},
    # "uni_edit" always bends the guidance: tests/methods/test_uni_edit.py
}
WITH_SAMPLES_PROMPT = {
    "p2p": {"blend_word_weight": 1},
    "proximal": {"blend_word_weight": 1, "quantile": 0, "shrink": "hard"},  # nothing is shrunk
    "pnp": {"source_prompt": "sample"},
    "masactrl": {"source_prompt": "sample", "start_step": 1},
    "plain": {},
    "value_sharing": {},
    "infedit": {},
    "pix2pix_zero": {},
    "dnaedit": {"mvg": 1},
    "rf_inversion": {"inversion_prompt": "source", "eta": 0},
    "uni_edit": {"inversion_prompt": "source"},
}
EVERY_METHOD = METHODS.names()
FEW_UPDATES = {name: {"inner_steps": 2} for name in ("null_text", "stylediffusion")}
WITHOUT_OPTIMISER = [name for name in INVERSIONS.names() if name != "null_text"]
LAYERS_OF_SMALL_MODELS = {"masactrl": {"start_layer": 5}}
"""The small UNets are half as deep as those whose layers the methods name."""
LAYERS_OF_SMALL_TRANSFORMERS = {"feature_sharing": {"first_layer": 0}}


def common_settings(guidance=7.5):
    return CommonSettings(model="small", steps=STEPS, guidance=guidance)


def run(model, samples, inversion, method, guidance=7.5, inversion_settings=None, **settings):
    """Edit; return edited latents, the inversion's result, the inputs and the source latents by step."""
    common = common_settings(guidance)
    schedule = plan_schedule(model, common)
    entry, of_method = INVERSIONS.get(inversion), METHODS.get(method)
    of_unets = "cross" in model.family.attention
    of_layers = (LAYERS_OF_SMALL_MODELS if of_unets else LAYERS_OF_SMALL_TRANSFORMERS).get(method, {})
    chosen = of_method.settings(**{**of_layers, **settings})
    texts = [of_method.prompts(sample, chosen) for sample in samples]
    inputs = encode_inputs(model, samples, SIDE, texts, guidance=plan_guidance(model, common))
    controller = of_method.prepare(samples, model, schedule.steps, chosen).controller
    inputs = dataclasses.replace(inputs, features=controller.features)
    inverted = entry.invert(model, inputs, schedule, entry.settings(**inversion_settings or {}))
    sources = []
    on_step_end = controller.on_step_end

    def recording(step, source, target):
        sources.append(source)
        return on_step_end(step, source, target)

    controller.on_step_end = recording
    return edit(model, inputs, inverted, controller, schedule), inverted, inputs, sources


def same_prompts(sample):
    return dataclasses.replace(sample, marked_target_prompt=sample.marked_source_prompt)


@pytest.mark.parametrize(("family", "method"), methods_of_families("direct"))
def test_under_direct_the_source_ends_at_the_picture(model_of, samples, family, method):
    _, _, inputs, sources = run(model_of(family), samples[:2], "direct", method)
    assert (sources[-1] - inputs.latents).abs().max() <= 1e-4


@pytest.mark.parametrize(("family", "method"), methods_of_families("edit_friendly"))
def test_under_edit_friendly_the_source_retraces_the_noised_pictures(model_of, samples, family, method):
    model = model_of(family)
    _, inverted, inputs, sources = run(model, samples[:2], "edit_friendly", method)
    *noised, _ = inverted.trajectory[1:]
    for source, expected in zip(sources, [*noised[::-1], source_end(inverted)], strict=True):
        assert (source - expected).abs().max() <= 1e-4
    if model.family.predicts == "epsilon":
        assert inverted.offsets[0].count_nonzero() == 0
    else:  # the last step has its offset too, so the branch ends at the picture
        assert (sources[-1] - inputs.latents).abs().max() <= 1e-4


@pytest.mark.parametrize(("family", "method"), methods_of_families("edit_friendly"))
def test_with_equal_prompts_and_no_guidance_edit_friendlys_target_is_its_source(
    model_of, samples, family, method
):
    same = [same_prompts(sample) for sample in samples[:3]]
    target, _, _, sources = run(
        model_of(family), same, "edit_friendly", method, guidance=1.0, **WITH_SAMPLES_PROMPT[method]
    )
    torch.testing.assert_close(target, sources[-1], atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("family", "method"),
    [
        pytest.param(*case.values, marks=case.marks if "p2p" in case.values else pytest.mark.slow)
        for case in methods_of_families("edict")
    ],
)
def test_under_edict_equal_prompts_reconstruct_the_picture(model_of, samples, family, method):
    """Whatever the method reads of the source: its latents are the target's."""
    same = [same_prompts(sample) for sample in samples[:2]]
    settings = WITH_SAMPLES_PROMPT[method]
    if method == "pnp":  # its unconditional rows have the source's features, too, so that none may count
        settings = settings | {"guidance": 1.0}
    target, inverted, inputs, sources = run(
        model_of(family), same, "edict", method, inversion_settings={"strength": 1.0}, **settings
    )
    assert inverted.steps == STEPS
    for found in (target, inverted.solver.picture(sources[-1])):
        assert (found - inputs.latents).norm() < 1e-5 * inputs.latents.norm()


def text_rows(inverted, level, negative, target):
    """Both halves' texts, with those of values where an inversion has them apart."""
    if inverted.values is None:
        return negative, target
    rows = {Row.TARGET_UNCOND: negative, Row.TARGET_COND: target}
    return inverted.values.apart(rows, level).values()


@torch.no_grad()
def plainly_sampled(model, inverted, inputs):
    """The target branch by guidance alone, from the start of sampling."""
    schedule = plan_schedule(model, common_settings())
    latents, everyone, kept = inverted.trajectory[-1], range(len(inputs.latents)), None
    for level in reversed(range(1, inverted.steps + 1)):
        replaced = None if inverted.uncond_embeds is None else inverted.uncond_embeds[level - 1]
        added = None if inverted.input_offsets is None else iter(inverted.input_offsets[level - 1].unbind(1))

        def predict(at, timestep, level=level, replaced=replaced, added=added):
            at = at if added is None else at + next(added)
            if model.family.guidance == "embedded":  # one row, which is told the scale
                return model.predict(at, timestep, inputs.target_embeds.with_guidance(7.5), everyone)
            negative = inputs.negative_embeds if replaced is None else replaced
            texts = text_rows(inverted, level, negative, inputs.target_embeds)
            return guide(*(model.predict(at, timestep, text, everyone) for text in texts), 7.5)

        walk = inverted.solver.walk(schedule, latents, level, kept)
        latents, kept = follow(walk, predict)
        if inverted.offsets is not None:
            latents = latents + inverted.offsets[level - 1]
    return inverted.solver.picture(latents)


@pytest.mark.parametrize(
    ("family", "inversion", "method"),
    [pair for pair in PAIRS_OF_FAMILIES if pair.values[2] in SWITCHED_OFF],
)
def test_without_injection_a_method_is_plain_guided_sampling(model_of, samples, family, inversion, method):
    model, settings = model_of(family), dict(FEW_UPDATES.get(inversion, {}))
    settings |= {"strength": 1.0} if inversion == "edict" else {}  # of three steps
    chosen = samples[UNBLENDED : UNBLENDED + 1]  # no blended word, so nothing is re-weighted
    arguments = model, chosen, inversion, method
    off, inverted, inputs, _ = run(*arguments, inversion_settings=settings, **SWITCHED_OFF[method])
    torch.testing.assert_close(off, plainly_sampled(model, inverted, inputs), atol=5e-4, rtol=0)
    if method in CONTROLLING:
        acts = {"start_step": 1} if method == "masactrl" else {}
        on = run(*arguments, inversion_settings=settings, **acts)[0]
        assert (on - off).abs().max() > 1e-2


TOLERANCES_OF_BATCHES = [
    *(marked(inversion, method, 1e-4) for inversion in WITHOUT_OPTIMISER for method in EVERY_METHOD),
    # Adam turns the sign of a tiny gradient, which is noise, into a whole step.
    pytest.param("null_text", "p2p", 1e-3),
]


@pytest.mark.slow  # test_matrix.py compares batches of every option
@pytest.mark.parametrize(
    ("family", "inversion", "method", "tolerance"),
    [
        pytest.param(family, *case.values, marks=case.marks)
        for family in FAMILIES
        for case in TOLERANCES_OF_BATCHES
        if goes_with(family, *case.values[:2])
    ],
)
def test_a_batch_gives_what_its_samples_give_alone(model_of, samples, family, inversion, method, tolerance):
    model = model_of(family)
    arguments = {
        "inversion_settings": FEW_UPDATES.get(inversion, {}),
        **({"start_step": 1} if method == "masactrl" else {}),
        **({"attention_guidance": 1e-5} if method == "pix2pix_zero" else {}),  # likewise
        **({"omega": 0.2} if method == "uni_edit" else {}),  # guidance multiplies it, and rounding errors
    }
    together = run(model, samples, inversion, method, **arguments)[0]
    for place in (BLENDED, UNBLENDED):
        alone = run(model, [samples[place]], inversion, method, **arguments)[0]
        torch.testing.assert_close(together[place], alone[0], atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def table1(tiny_model):
    overrides = {"model": str(tiny_model), "resolution": SIDE}
    fields = select_combinations(
        read_recipe_fields(recipe_file("table1")), ["direct", "ddim", "edit_friendly"], None, ""
    )
    return build_recipe(fields, overrides, "table1")


ROWS_AT_50_STEPS = [
    # combination, sample, rows, and at most so many
    ("direct+p2p", UNBLENDED, 180, 180),
    ("direct+p2p", BLENDED, 200, 200),
    ("direct+masactrl", BLENDED, 196, 196),
    ("direct+pnp", BLENDED, 190, 190),
    ("edit_friendly+p2p", BLENDED, 114, 114),
    ("edit_friendly+masactrl", BLENDED, 114, 114),
    ("edit_friendly+pnp", BLENDED, 152, 154),
    ("ddim+p2p", UNBLENDED, 209, 210),
    ("ddim+p2p", BLENDED, 250, 250),
    ("ddim+masactrl", BLENDED, 200, 200),
    ("ddim+pnp", BLENDED, 240, 250),
]


@pytest.fixture(scope="module")
def foretold(table1, samples):
    return count_evaluations(table1, samples)


@pytest.mark.parametrize(("pair", "sample", "rows", "most"), ROWS_AT_50_STEPS)
def test_rows_at_50_steps(foretold, samples, pair, sample, rows, most):
    """As a dry run counts them; what it counts is what edits take, see test_forecast.py."""
    assert foretold[EditKey(*pair.split("+"), samples[sample].id)].forward == rows <= most


@pytest.mark.parametrize(
    ("recipe", "combination", "forward", "backward"),
    [
        ("edict", "edict+plain", 320, 0),  # the published scripts take 720
        ("edict", "edict+p2p", 400, 0),  # 800
        ("pix2pix-zero", "ddim+pix2pix_zero", 300, 100),
        ("pix2pix-zero", "direct+pix2pix_zero", 350, 100),
        ("blended-latent-diffusion", "blended_latent_diffusion", 76, 0),
    ],
)
def test_rows_of_the_papers_other_systems_at_50_steps(
    tiny_model, samples, recipe, combination, forward, backward
):
    # How often noise is regularised does not count.
    once = {"inversion.regularisation_rounds": 1} if recipe == "pix2pix-zero" else {}
    chosen = shipped(recipe, {"model": str(tiny_model), "resolution": SIDE, **once})
    of_edits = count_evaluations(chosen, samples[:1])
    (planned,) = (cost for key, cost in of_edits.items() if combination_name(*key[:2]) == combination)
    assert (planned.forward, planned.backward, chosen.steps) == (forward, backward, 50)


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "sample", "rows", "most"), ROWS_AT_50_STEPS)
def test_edits_take_these_rows_at_50_steps(model, samples, table1, pair, sample, rows, most):
    model.evaluations = EvaluationCounter()
    edit_latents(model, samples[sample : sample + 1], table1.combination(*pair.split("+")))
    assert model.evaluations.forward[0] == rows <= most
    assert model.evaluations.backward[0] == 0


def rows_at_10_steps(table1, samples, **overrides):
    """Of edit-friendly inversion with each method: all rows, and those before the edit of its source's steps.

    The latter are what the method does not read of the source.
    """
    recipe = build_recipe(table1.model_dump(), {"steps": 10, **overrides}, "test")
    costs = count_evaluations(recipe, samples[:1]).items()
    return {
        key.method: (cost.forward, cost.source) for key, cost in costs if key.inversion == "edit_friendly"
    }


def test_step_valued_settings_follow_the_step_count(table1, samples):
    """At 10 steps edit-friendly inversion skips 2, unless it is told otherwise; MasaCtrl's 4 stays 4."""
    rows = rows_at_10_steps(table1, samples)
    assert rows["p2p"] == (3 * 8, 8 - 6)  # self-attention is taken in 6 steps of 10
    assert rows["masactrl"] == (3 * 8, 4)
    assert rows_at_10_steps(table1, samples, **{"inversion.skip": 5})["masactrl"] == (3 * 5, 4)


def test_step_ranges_may_count_the_skipped_steps(table1, samples):
    rows = rows_at_10_steps(table1, samples, **{"quirks.count_skipped_steps": True})
    assert rows["masactrl"] == (3 * 8, 4 - 2)


@pytest.mark.slow  # a cache that runs share, and each cached inversion, are tested by themselves
def test_what_combinations_share_is_computed_once(model, samples, tmp_path):
    steps = 6
    fields = {
        "model": "m",
        "resolution": SIDE,
        "steps": steps,
        "inversions": {"ddim": {}, "direct": {}, "null_text": {"inner_steps": 2}, "edit_friendly": {}},
        "methods": ["p2p", "pnp"],
    }
    recipe = build_recipe(fields, {}, "test")
    batch = samples[:1]
    separate = {}
    for pair in recipe.pairs:
        model.evaluations = EvaluationCounter()
        latents, _ = edit_latents(model, batch, recipe.combination(*pair))
        separate[pair] = latents, model.evaluations.forward[0], model.evaluations.backward[0]
    model.cache = Cache({"model": "tiny"}, tmp_path)
    try:
        computed = {}
        for session in range(2):
            for pair in recipe.pairs:
                model.evaluations = EvaluationCounter()
                latents, _ = edit_latents(model, batch, recipe.combination(*pair))
                assert torch.equal(latents, separate[pair][0])
                needed = model.evaluations.forward[0], model.evaluations.backward[0]
                assert needed == separate[pair][1:]
                computed[session, pair] = sum(needed) - model.evaluations.reused[0]
            model.cache.forget()  # the second time from disk
    finally:
        model.cache = None
    assert computed[0, ("ddim", "p2p")] == sum(separate["ddim", "p2p"][1:])
    assert computed[0, ("direct", "p2p")] == separate["direct", "p2p"][1] - steps
    # Nothing of null-text is left for the second method: two target rows, in 4 steps a source row.
    assert computed[0, ("null_text", "pnp")] == 2 * steps + 4
    # Prompt-to-Prompt's blend reads the source in every step; of Plug-and-Play's no row has its prompt.
    assert computed[1, ("edit_friendly", "p2p")] == computed[0, ("edit_friendly", "p2p")]
    assert computed[1, ("edit_friendly", "pnp")] < computed[0, ("edit_friendly", "pnp")]
    assert sum(computed[1, pair] for pair in recipe.pairs) < sum(computed[0, pair] for pair in recipe.pairs)

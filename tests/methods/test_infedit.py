"""InfEdit's unified attention control: its words, its phases, its rows and its third branch."""

import dataclasses

import numpy as np
import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import begin_retracing, edit, plan_edit
from piebench_eval.diffusion.rows import Row, RowBatch
from piebench_eval.diffusion.schedules import lcm_schedule
from piebench_eval.diffusion.word_pairs import pair_unaligned
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods.infedit import INFEDIT, InfEditSettings, plan_words
from piebench_eval.models.attention import AttentionLayer, attention_maps, plain_attention
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.quirks import Quirks
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs

BLENDED, INSERTED, UNBLENDED, HALF_FOUND = range(4)
STEPS = 6
EVERY_ROW = list(Row)


INFEDITS = Guidance(2.3, source=1.0)


def run(model, samples, guidance=INFEDITS, inversion="ddcm", steps=STEPS, **settings):
    """Edit; the latents, the controller and the planned rows by sample and step."""
    schedule = lcm_schedule(model.alphas_cumprod, steps)
    inputs = encode_inputs(model, samples, 128, guidance=guidance)
    entry = INVERSIONS.get(inversion)
    inverted = entry.invert(model, inputs, schedule, entry.settings())
    controller = INFEDIT.prepare(samples, model, steps, InfEditSettings(**settings)).controller
    plan = plan_edit(inputs, inverted, controller)
    begin_retracing(inputs, inverted, controller, list(zip(*plan, strict=True)))
    model.evaluations = EvaluationCounter()
    latents = edit(model, inputs, inverted, controller, schedule)
    for place in range(len(samples)):
        assert model.evaluations.forward[place] == sum(len(step.rows) for step in plan[place])
    return latents, controller, plan


def test_each_run_of_new_words_gets_the_pair_that_is_most_alike():
    mapper = np.array([0, -1, -1, 2, -1, 4, 6, 7])  # between 4 and 6 the target has nothing
    similarity = np.zeros((8, 8))
    similarity[2, 1] = similarity[4, 3] = 1
    similarity[1, 5] = 9  # not between the run's neighbours
    assert pair_unaligned(mapper, 8, similarity) == [(2, 1), (4, 3)]
    assert pair_unaligned(np.array([0, -1, 1]), 3, np.ones((3, 3))) == []
    assert pair_unaligned(np.array([0, -1, -1, 3]), 4, np.ones((4, 4))) == [(1, 1)]


def test_a_target_word_takes_the_map_of_the_word_that_it_replaces(model, samples):
    sample = dataclasses.replace(
        samples[0],
        marked_source_prompt="a photo of a [cat]",
        marked_target_prompt="a photo of a [dog]",
        blended_word="cat dog",
    )
    plan = plan_words(sample, model, InfEditSettings())
    assert plan.mapper[:7].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert plan.use_mutual_map.all() and plan.blends and not plan.notes
    assert np.flatnonzero(plan.word).tolist() == [5]
    lost = plan_words(dataclasses.replace(sample, blended_word="cat cake"), model, InfEditSettings())
    assert not lost.blends and len(lost.notes) == 2 and "without local blend" in lost.notes[1]
    quirk = InfEditSettings(quirks=Quirks(lost_blend_word="reconstruct"))
    assert plan_words(dataclasses.replace(sample, blended_word="cat cake"), model, quirk).blends
    assert not plan_words(sample, model, InfEditSettings(local_blend=False)).blends
    assert not plan_words(dataclasses.replace(sample, blended_word=""), model, quirk).blends


def test_brackets_stay_if_asked(samples):
    marked = dataclasses.replace(samples[0], marked_target_prompt="a [dog]")
    assert INFEDIT.prompts(marked, InfEditSettings()).target == "a dog"
    kept = InfEditSettings(quirks=Quirks(keep_brackets=True))
    assert INFEDIT.prompts(marked, kept).target == "a [dog]"


def attended(model, sample, step, kind, settings):
    """What the controller makes of all six rows in a step, with random states; and these states."""
    controller = INFEDIT.prepare([sample], model, 10, settings).controller
    controller.begin_step(step, RowBatch({row: [0] for row in Row}), (16, 16))
    generator = torch.Generator().manual_seed(step)
    tokens = 16 if kind == "self" else 77
    query = torch.randn(6, 2, 16, 8, generator=generator)
    key, value = (torch.randn(6, 2, tokens, 8, generator=generator) for _ in range(2))
    layer = AttentionLayer(kind, 0, 4, (4, 4))
    return controller, controller.attend(layer, query, key, value), (query, key, value)


@pytest.mark.parametrize(
    ("step", "queries", "keys", "values"),
    [
        (5, "sss", "sss", "sts"),
        (6, "stt", "sts", "sts"),  # 7 of 10 steps: the share itself belongs to the later phase
        (9, "stt", "sts", "sts"),
    ],
)
def test_self_attention_has_the_sources_layout_and_then_the_targets(
    model, samples, step, queries, keys, values
):
    _, found, states = attended(model, samples[0], step, "self", InfEditSettings())
    assert torch.equal(found, plain_attention(*map(of_branches, states, (queries, keys, values))))


def of_branches(states, branches):
    """Of each row's branch the states of another, in the same half; branches s, t, m."""
    rows = [2 * "st".index(branch) + half for branch in branches for half in (0, 1)]
    return states[rows]


@pytest.mark.parametrize(("step", "replaced"), [(0, True), (6, True), (7, False)])
def test_cross_attention_takes_the_mutual_branchs_maps(model, samples, step, replaced):
    sample = samples[INSERTED]
    controller, found, (query, key, value) = attended(model, sample, step, "cross", InfEditSettings())
    expected = plain_attention(query, key, value)
    maps = attention_maps(query, key)
    plan = plan_words(sample, model, InfEditSettings())
    matrix, taken = controller.edit.matrix[0], torch.from_numpy(plan.use_mutual_map)
    refined = (maps[Row.MUTUAL_COND] @ matrix) * taken + maps[Row.TARGET_COND] * (1 - taken)
    if replaced:
        expected[Row.TARGET_COND] = refined @ value[Row.TARGET_COND]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert 0 < taken.sum() <= 77 and plan.blends
    of_word = refined.mean(dim=0) * controller.region.words[0]
    torch.testing.assert_close(controller.region.attention[0].flatten(1), of_word.T, atol=1e-6, rtol=0)


def test_rows_are_those_that_are_read(model, samples):
    _, _, plan = run(model, [samples[BLENDED], samples[UNBLENDED]])
    with_blend, without = ([sorted(step.rows) for step in of_sample] for of_sample in plan)
    layout = [Row.SOURCE_UNCOND, Row.SOURCE_COND, Row.TARGET_UNCOND, Row.TARGET_COND, Row.MUTUAL_COND]
    later = layout[1:]
    # The source's layout and the mutual branch's maps are taken in 4 steps; the last step is not blended.
    assert with_blend == [layout] * 4 + [later, layout[2:4]]
    assert without == [layout] * 4 + [layout[2:4]] * 2


def test_a_guided_source_guides_the_mutual_branch_too(model, samples):
    latents, _, plan = run(model, samples[BLENDED : BLENDED + 1], Guidance(7.5))
    assert [sorted(step.rows) for step in plan[0]] == [EVERY_ROW] * 5 + [EVERY_ROW[2:4]]
    unguided = run(model, samples[BLENDED : BLENDED + 1], Guidance(7.5, source=1.0))[0]
    assert (latents - unguided).abs().max() > 1e-2


@pytest.mark.slow  # test_matrix.py compares batches, and one of them is blended in part below
def test_a_batch_gives_what_its_samples_give_alone(model, samples):
    together, _, plan = run(model, samples)
    for place, sample in enumerate(samples):
        alone, _, planned = run(model, [sample])
        torch.testing.assert_close(together[place], alone[0], atol=2e-4, rtol=0)
        assert planned[0] == plan[place]


def test_the_blend_keeps_the_mutual_branch_outside_the_word(model, samples):
    sample = samples[BLENDED : BLENDED + 1]
    blended, unblended = (run(model, sample, local_blend=on)[0] for on in (True, False))
    assert (blended - unblended).abs().max() > 1e-2


@pytest.mark.parametrize("inversion", ["ddim", "edit_friendly"])
def test_it_goes_with_other_inversions(model, samples, inversion):
    latents, _, _ = run(model, samples[:2], Guidance(7.5), inversion)
    assert latents.isfinite().all() and latents.std() > 0.1


def test_samples_with_and_without_a_blended_word_share_a_batch(model, samples):
    """A source scale other than 1 needs unconditional rows, which the sample without a word lacks."""
    chosen = [dataclasses.replace(samples[0]), dataclasses.replace(samples[1], blended_word="")]
    common = {"model": "m", "steps": 4, "guidance": 1.0, "source_guidance": 3.0, "resolution": 128}
    fields = {**common, "inversions": ["direct"], "methods": ["infedit"]}
    combination = build_recipe(fields, {}, "test").combination("direct", "infedit")
    together, _ = edit_latents(model, chosen, combination)
    for place, sample in enumerate(chosen):
        alone, _ = edit_latents(model, [sample], combination)
        torch.testing.assert_close(together[place], alone[0], atol=1e-4, rtol=0)

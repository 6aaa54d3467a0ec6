"""Rows end behind the last layer that a method reads: the same edits, of less work."""

import pytest
import torch

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.row_ends import RowEnds
from piebench_eval.diffusion.rows import Branch, Row, RowBatch, SourceReads, StepRows
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.diffusion.solvers import coupled
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.sd1 import StableDiffusion
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs

STEPS = 5
SETTINGS = {
    "p2p": {"blend_threshold": 0.8},
    "pnp": {"first_attention_layer": 4},
    "masactrl": {"start_step": 1, "start_layer": 4},
    "value_sharing": {"value_steps": 1.0, "first_layer": 3, "last_layer": 4},
}


def combination(inversion, method):
    fields = {
        "model": "unused",
        "inversions": [inversion],
        "methods": {method: SETTINGS[method]},
        "steps": STEPS,
        "resolution": 128,
    }
    return build_recipe(fields, {}, "test").combination(inversion, method)


def edited(model, samples, inversion, method):
    model.evaluations = EvaluationCounter()
    latents, _ = edit_latents(model, samples, combination(inversion, method))
    return latents, dict(model.evaluations.forward)


def rows_of_output(model, monkeypatch):
    """How many rows came to the output of each call that follows."""
    counts, predict = [], StableDiffusion.predict

    def counted(self, latents, *rest):
        output = predict(self, latents, *rest)
        counts.append((len(latents), len(output)))
        return output

    monkeypatch.setattr(StableDiffusion, "predict", counted)
    return counts


@pytest.mark.parametrize(
    ("inversion", "method"),
    [
        ("direct", "p2p"),
        ("direct", "pnp"),
        *(pytest.param("direct", method, marks=pytest.mark.slow) for method in ("masactrl", "value_sharing")),
        pytest.param("edit_friendly", "pnp", marks=pytest.mark.slow),  # others' rows give the noise maps
        pytest.param("ddim", "pnp", marks=pytest.mark.slow),  # its source is set to the inverted latents
        pytest.param("ddim", "masactrl", marks=pytest.mark.slow),  # only in the last step it need not move
    ],
)
def test_edits_are_those_of_whole_rows(model, samples, monkeypatch, inversion, method):
    counts = rows_of_output(model, monkeypatch)
    count = 3 if method == "p2p" else 1  # with and without a blended word
    latents, evaluations = edited(model, samples[:count], inversion, method)
    assert any(left < rows for rows, left in counts)
    counts.clear()
    monkeypatch.setattr(StableDiffusion, "row_places", lambda self: [])
    whole, of_whole = edited(model, samples[:count], inversion, method)
    assert all(left == rows for rows, left in counts)
    torch.testing.assert_close(latents, whole, atol=1e-4, rtol=0)
    assert evaluations == of_whole, "a row that ends counts as one"


def ends_of(model, controller):
    return RowEnds(model.unet, model.row_places(), controller, (16, 16))


def last_read(model, samples, method):
    settings = combination("direct", method).method_settings
    controller = METHODS.get(method).prepare(samples, model, STEPS, settings).controller
    ends = ends_of(model, controller)
    return [ends.last_read(step) for step in range(STEPS)]


def test_the_last_layer_that_a_method_reads(model, samples):
    last = "up_blocks.3.attentions.1.transformer_blocks.0."
    # Cross-attention in 2 of 5 steps, self-attention at half the latent's side in 3, maps at a quarter.
    assert last_read(model, samples[:1], "p2p") == [
        *[f"{last}attn2"] * 2,
        "up_blocks.2.attentions.1.transformer_blocks.0.attn1",
        *["up_blocks.1.attentions.1.transformer_blocks.0.attn2"] * 2,
    ]
    # Queries and keys in 2 steps, and features in 4, the fifth reads nothing.
    assert last_read(model, samples[:1], "pnp") == [
        *[f"{last}attn1"] * 2,
        *["up_blocks.1.resnets.1"] * 2,
        None,
    ]
    assert last_read(model, samples[:1], "masactrl") == [f"{last}attn1"] * STEPS
    reads_few = last_read(model, samples[:1], "value_sharing")
    assert reads_few == ["up_blocks.1.attentions.0.transformer_blocks.0.attn1"] * STEPS


def batch(*kinds):
    return RowBatch.of_step([StepRows(frozenset(kinds), False)] * 2)


ALL = (Row.SOURCE_COND, Row.TARGET_UNCOND, Row.TARGET_COND)


def test_both_halves_of_a_branch_begin_as_one(model):
    rows = batch(*ALL)
    fork = ends_of(model, AttentionController(2)).fork(0, rows)
    assert fork.place == "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    assert fork.first.tolist() == [0, 1, 2, 3] and fork.of_rows.tolist() == [0, 1, 2, 3, 2, 3]
    assert ends_of(model, AttentionController(2)).fork(0, batch(Row.TARGET_COND)) is None
    exact = RowEnds(model.unet, model.row_places(), AttentionController(2), (16, 16), coupled(5, 0.93))
    assert exact.fork(0, rows) is None, "what its inversion has rounded must round so again"


def test_not_where_a_method_takes_part_before_a_text_is_read(model, samples):
    early = METHODS.get("p2p").settings(self_replace_downsampling=1)
    controller = METHODS.get("p2p").prepare(samples[:1], model, STEPS, early).controller
    found = [ends_of(model, controller).fork(step, batch(*ALL)) is not None for step in range(STEPS)]
    assert found == [False] * 3 + [True] * 2, "self-attention of all layers is replaced in three steps"

    class Hooked(AttentionController):
        hooked_modules = ("conv_in",)

    class Attending(AttentionController):
        def attend(self, layer, query, key, value):
            return value

    for controller in (Hooked(2), Attending(2)):
        assert ends_of(model, controller).fork(0, batch(*ALL)) is None


def test_only_rows_whose_output_nobody_needs_end(model):
    ends, rows = ends_of(model, AttentionController(2)), batch(*ALL)
    moving = {Branch.TARGET: [0, 1], Branch.SOURCE: [0]}
    found = ends.of_call(0, rows, moving)
    assert found.left.samples_by_row == {**rows.samples_by_row, Row.SOURCE_COND: [0]}
    assert found.going_on.tolist() == [0, 2, 3, 4, 5]
    assert ends.of_call(1, rows, moving) is found, "made once for the steps that are alike"
    assert ends.of_call(0, rows, {**moving, Branch.SOURCE: []}).going_on == slice(2, 6)
    assert ends.of_call(0, rows, {**moving, Branch.SOURCE: [0, 1]}) is None
    assert ends.of_call(0, batch(*ALL[1:]), {**moving, Branch.SOURCE: []}) is None


def test_rows_of_a_method_that_modifies_the_guidance_go_to_the_end(model):
    class Modifying(AttentionController):
        modifies_guidance = True

    nobody = {Branch.TARGET: [0, 1], Branch.SOURCE: []}
    assert ends_of(model, Modifying(2)).of_call(0, batch(*ALL), nobody) is None


@pytest.mark.parametrize("module", ["up_blocks.1", "conv_out"])
def test_rows_go_to_the_end_where_a_module_is_read_that_is_no_layer(model, module):
    class Hooked(AttentionController):
        hooked_modules = (module,)

    assert ends_of(model, Hooked(1)).last_read(0) is None


def test_a_method_that_says_nothing_of_layers_reads_them_all(model, samples):
    class Silent(AttentionController):
        def source_reads(self, step):
            return [SourceReads(cond=True)]

    last = ends_of(model, Silent(1)).last_read(0)
    assert last == "up_blocks.3.attentions.1.transformer_blocks.0.attn2"


@pytest.mark.parametrize("around", ["", "up_blocks.3", "up_blocks.3.attentions.1.transformer_blocks.0"])
def test_rows_do_not_end_within_a_module_that_a_method_changes(model, around):
    class Changing(AttentionController):
        hooked_modules = (around,)

        def reads_module(self, step, name):
            return False

    assert ends_of(model, Changing(1)).last_read(0) is None


def test_a_method_may_look_at_what_the_base_class_attends_to(model, samples, monkeypatch):
    """Even of rows that end there: those that ``own_attention`` leaves to be zeros."""

    class Mean(AttentionController):
        def source_reads(self, step):
            return [SourceReads(cond=True)]

        def attend(self, layer, query, key, value):
            attended = super().attend(layer, query, key, value)
            source, target = (self.rows.positions(row, [0]) for row in (Row.SOURCE_COND, Row.TARGET_COND))
            attended[target] = (attended[target] + attended[source]) / 2
            return attended

    schedule, direct = ddim_schedule(model.alphas_cumprod, 2), INVERSIONS.get("direct")
    inputs = encode_inputs(model, samples[:1], 64)
    inverted = direct.invert(model, inputs, schedule, direct.settings())
    latents = edit(model, inputs, inverted, Mean(1), schedule)
    monkeypatch.setattr(StableDiffusion, "row_places", lambda self: [])
    torch.testing.assert_close(latents, edit(model, inputs, inverted, Mean(1), schedule), atol=1e-5, rtol=0)

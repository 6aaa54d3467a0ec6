"""Samples of a batch with the same source share its rows, and their edits are what they would be without."""

from dataclasses import replace

import pytest
import torch

from piebench_eval.diffusion.observer import EditObserver
from piebench_eval.methods.p2p import P2PController
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs import batch_editing
from piebench_eval.runs.batch_editing import edit_batch, edit_latents

TARGETS = [  # the first has no blended word, and needs less of the source than the others
    ("a round cake with coffee", ""),
    ("a square cake with a cup of coffee on an astronaut", "round square"),
    ("a square cake", "round square"),
]
IN_ALL_LAYERS = {"start_step": 1, "start_layer": 5}
SHARING = {
    "direct+p2p": {},
    "ddim+p2p": {},
    "direct+masactrl": {"method": IN_ALL_LAYERS},
    "ddim+masactrl": {"method": {**IN_ALL_LAYERS, "source_prompt": "sample", "mask_guided": True}},
    "direct+pnp": {},
    "ddim+pnp": {},
    "edit_friendly+p2p": {},
    "direct+proximal": {},
    "null_text+p2p": {},
    "edict+p2p": {},
    "direct+value_sharing": {},
    "direct+pix2pix_zero": {"method": {"attention_guidance": 1e-5}},
    "ddcm+infedit": {},
}
APART = {
    "ddim+proximal": {},  # a source that the target bends
    "edict+pnp": {"inversion": {"source_latents": "edited"}},  # one that is where the target is
}
CLOSE = {"direct+pix2pix_zero": 1e-4}  # which multiplies the last digits of rows that MKL adds up otherwise


@pytest.fixture(scope="module")
def model(tiny_model):
    """The small model, with layers in which the rows of a batch do not round each other."""
    return load_model(str(tiny_model), deterministic=True)


@pytest.fixture(scope="module")
def recipe(tiny_model):
    pairs = {**SHARING, **APART}
    inversions, methods = (dict.fromkeys(name.split("+")[part] for name in pairs) for part in (0, 1))
    fields = {
        "model": str(tiny_model),
        "steps": 5,
        "inversions": {**{name: {} for name in inversions}, "null_text": {"inner_steps": 2}},
        "methods": list(methods),
        "combinations": pairs,
    }
    return build_recipe(fields, {}, "test")


@pytest.fixture
def batch(samples):
    """Three targets of one picture, and another picture between them."""
    first, *others = (
        replace(
            samples[0],
            id=str(place),
            marked_source_prompt="a round cake with coffee",
            marked_target_prompt=target,
            blended_word=words,
        )
        for place, (target, words) in enumerate(TARGETS)
    )
    return [first, samples[1], *others]


def edited(model, recipe, name, batch, monkeypatch):
    """Latents, the evaluations that were counted, and how many rows the model was given."""
    model.evaluations, rows, predict = EvaluationCounter(), [], model.predict

    def counting(latents, *arguments):
        rows.append(len(latents))
        return predict(latents, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(model, "predict", counting)
        latents, _ = edit_latents(model, batch, recipe.combination(*name.split("+")))
    return latents, model.evaluations, sum(rows)


@pytest.mark.parametrize("name", SHARING)
def test_edits_are_those_of_sources_apart(model, recipe, batch, monkeypatch, name):
    latents, counted, rows = edited(model, recipe, name, batch, monkeypatch)
    monkeypatch.setattr(batch_editing, "same_sources", lambda *_: None)
    expected, counted_apart, rows_apart = edited(model, recipe, name, batch, monkeypatch)
    torch.testing.assert_close(latents, expected, atol=CLOSE.get(name, 0), rtol=0)
    assert counted.forward == counted_apart.forward, "an edit needs the same, whoever computes it"
    assert counted.reused[2] and counted.reused[3] and not counted.reused[0] and not counted.reused[1]
    assert rows == rows_apart - counted.reused.total() and not counted_apart.reused


@pytest.mark.parametrize("name", APART)
def test_a_source_that_follows_its_target_is_nobody_elses(model, recipe, batch, monkeypatch, name):
    _, counted, rows = edited(model, recipe, name, batch, monkeypatch)
    assert rows == counted.forward.total() and not counted.reused


def test_a_method_that_does_not_say_so_shares_nothing(model, recipe, batch, monkeypatch):
    monkeypatch.setattr(P2PController, "leaves_source", False)
    assert not edited(model, recipe, "direct+p2p", batch, monkeypatch)[1].reused


@pytest.mark.parametrize("change", [{"marked_source_prompt": "a cake"}, {"file": 1}])
def test_another_prompt_or_picture_is_another_source(model, recipe, batch, samples, monkeypatch, change):
    other = {"file": samples[change["file"]].file} if "file" in change else change
    alone = [batch[0], *(replace(batch[2], **other) for _ in range(2))]
    counted = edited(model, recipe, "direct+p2p", alone, monkeypatch)[1]
    assert not counted.reused[0] and not counted.reused[1] and counted.reused[2]


def test_an_observer_sees_the_source_of_everyone(model, recipe, batch, monkeypatch):
    def seen():
        edit_batch(model, batch, recipe.combination("direct", "p2p"), observer=(observer := EditObserver()))
        return [[(word.word, word.map) for word in inside.source_words] for inside in observer.insides]

    of_shared = seen()
    monkeypatch.setattr(batch_editing, "same_sources", lambda *_: None)
    for words, expected in zip(of_shared, seen(), strict=True):
        assert [word for word, _ in words] == [word for word, _ in expected] != []
        assert all((found == other).all() for (_, found), (_, other) in zip(words, expected, strict=True))

"""Samples of a batch with the same source share its rows, and their edits are what they would be without."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from piebench_eval.diffusion.observer import EditObserver
from piebench_eval.editors import EDITORS
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models import deterministic
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs import batch_editing
from piebench_eval.runs.batch_editing import edit_batch, edit_latents
from tests.support.tiny_clip import use_for_pictures
from tests.support.tiny_model import save_tiny_model

TARGETS = [  # the first has no blended word, and needs less of the source than the others
    ("a round cake with coffee", ""),
    ("a square cake with a cup of coffee on an astronaut", "round square"),
    ("a square cake", "round square"),
]
FROM_THE_SECOND_STEP = {"start_step": 1, "start_layer": 2}


def seldom(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


SHARING = [
    ("sd1", "direct+p2p", {}),
    seldom("sd1", "ddim+p2p", {}),
    seldom("sd1", "direct+masactrl", {"method": FROM_THE_SECOND_STEP}),
    (
        "sd1",
        "ddim+masactrl",
        {"method": {**FROM_THE_SECOND_STEP, "source_prompt": "sample", "mask_guided": True}},
    ),
    ("sd1", "direct+pnp", {}),
    seldom("sd1", "ddim+pnp", {}),
    ("sd1", "edit_friendly+p2p", {}),
    seldom("sd1", "edit_friendly+pnp", {}),
    ("sd1", "direct+proximal", {}),
    ("sd1", "null_text+p2p", {"inversion": {"inner_steps": 1}}),
    seldom("sd1", "negative_prompt+p2p", {}),
    seldom("sd1", "edict+p2p", {}),
    ("sd1", "direct+value_sharing", {}),
    ("sd1", "direct+pix2pix_zero", {}),
    ("sd1", "ddcm+infedit", {}),
    seldom("sd1", "stylediffusion+p2p", {"inversion": {"inner_steps": 1}}),
    ("sd3", "rf_solver+p2p", {}),
    ("sd3", "fireflow+masactrl", {"method": FROM_THE_SECOND_STEP}),
    seldom("sd3", "flowedit+value_sharing", {"inversion": {"n_avg": 2}}),
]
APART = [
    ("sd1", "ddim+proximal", {}),  # a source that the target bends
    ("sd1", "edict+pnp", {"inversion": {"source_latents": "edited"}}),  # one that is where the target is
]


@pytest.fixture(scope="module")
def exact_model(tiny_sd3, tiny_image_encoder, tmp_path_factory):
    """Small models whose layers round each row of a batch by itself, however many it has."""

    @cache
    def load(family):
        folder = tiny_sd3 if family == "sd3" else save_tiny_model(tmp_path_factory.mktemp("model"), layers=1)
        model = load_model(str(folder), deterministic=True)
        if family == "sd1":
            use_for_pictures(model, tiny_image_encoder)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deterministic, "_FEW_ROWS", 10**6)  # products are added up in float64
        yield load


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


@pytest.fixture
def edited(exact_model, monkeypatch):
    """Edits a batch: latents, the evaluations that were counted, and how many rows the model was given."""

    def run(family, name, own, batch):
        model, (inversion, method) = exact_model(family), name.split("+")
        fields = {"model": "small", "family": family, "steps": 3, "resolution": 128}
        chosen = {"inversions": [inversion], "methods": [method], "combinations": {name: own}}
        recipe = build_recipe({**fields, **chosen}, {}, "test")
        rows, predict = [], model.predict

        def counting(latents, *arguments):
            rows.append(len(latents))
            return predict(latents, *arguments)

        model.evaluations = EvaluationCounter()
        with monkeypatch.context() as patch:
            patch.setattr(model, "predict", counting)
            latents, _ = edit_latents(model, batch, recipe.combination(inversion, method))
        return latents, model.evaluations, sum(rows)

    return run


def share_nothing(monkeypatch):
    monkeypatch.setattr(batch_editing, "same_sources", lambda *_: None)


@pytest.mark.parametrize(("family", "name", "own"), SHARING)
def test_edits_are_those_of_sources_apart(edited, batch, monkeypatch, family, name, own):
    latents, counted, rows = edited(family, name, own, batch)
    share_nothing(monkeypatch)
    expected, counted_apart, rows_apart = edited(family, name, own, batch)
    assert torch.equal(latents, expected)
    needed = counted.forward, counted.backward
    assert needed == (counted_apart.forward, counted_apart.backward), "whoever computes it"
    assert counted.reused[2] and counted.reused[3] and not counted.reused[0] and not counted.reused[1]
    assert not counted_apart.reused
    optimised = "inner_steps" in own.get("inversion", {})
    differentiated = counted.backward[2] + counted.backward[3] if optimised else 0
    assert rows_apart - rows == counted.reused.total() - differentiated, "these are no rows of their own"


@pytest.mark.parametrize(("family", "name", "own"), APART)
def test_rows_of_a_source_that_follows_its_target_are_nobody_elses(edited, batch, family, name, own):
    """Its inversion is."""
    _, counted, rows = edited(family, name, own, batch)
    inversion = counted.reused[2]
    assert counted.reused == {2: inversion, 3: inversion}
    assert rows == counted.forward.total() - 2 * inversion


@pytest.mark.parametrize("registry", [INVERSIONS, METHODS])
def test_with_a_plugin_every_source_is_its_own(edited, batch, monkeypatch, registry):
    monkeypatch.setattr(registry, "is_own", lambda name: False)
    assert not edited("sd1", "direct+p2p", {}, batch)[1].reused


def test_with_an_editor_of_ones_own_too(exact_model, batch, monkeypatch):
    """Its controller, or its inversion, may let the target change the source."""
    seen = []

    def edit_latents_by_hand(model, samples, inputs, schedule, settings):
        seen.append(inputs.same_source)
        return inputs.latents, [[] for _ in samples]

    editor = replace(EDITORS.get("sdedit"), edit_latents=edit_latents_by_hand)
    monkeypatch.setitem(EDITORS._plugins, "ours", (editor, "plugin ours.py"))
    fields = {"model": "small", "steps": 2, "resolution": 128, "editors": ["ours"]}
    combination = build_recipe(fields, {}, "test").combination("", "ours")
    edit_latents(exact_model("sd1"), batch, combination)
    assert seen == [None]


@pytest.mark.parametrize("change", [{"marked_source_prompt": "a cake"}, {"file": 1}])
def test_another_prompt_or_picture_is_another_source(edited, batch, samples, change):
    other = {"file": samples[change["file"]].file} if "file" in change else change
    counted = edited("sd1", "direct+p2p", {}, [batch[0], *[replace(batch[2], **other)] * 2])[1]
    assert not counted.reused[0] and not counted.reused[1] and counted.reused[2]


def test_an_observer_sees_the_source_of_everyone(exact_model, batch, monkeypatch):
    fields = {"model": "small", "steps": 2, "resolution": 128, "inversions": ["direct"], "methods": ["p2p"]}
    combination = build_recipe(fields, {}, "test").combination("direct", "p2p")

    def seen():
        edit_batch(exact_model("sd1"), batch, combination, observer=(observer := EditObserver()))
        return [[(word.word, word.map) for word in inside.source_words] for inside in observer.insides]

    of_shared = seen()
    share_nothing(monkeypatch)
    for words, expected in zip(of_shared, seen(), strict=True):
        assert [word for word, _ in words] == [word for word, _ in expected] != []
        assert all((found == other).all() for (_, found), (_, other) in zip(words, expected, strict=True))

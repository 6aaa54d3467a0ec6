"""Whole runs on a GPU: saving behind the next batch, and two processes on one card."""

import threading
import time

import numpy as np
import pytest

from piebench_eval.data.images import encode_image, read_image
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs import worker
from piebench_eval.runs.batch_editing import edit_batch
from piebench_eval.runs.model_runner import ModelRunner
from piebench_eval.runs.store.folder import RunStore
from tests.support.runs import digests, recorded_edits, run

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def recipe(tiny_model):
    fields = {"model": str(tiny_model), "inversions": ["ddim", "direct"], "methods": ["p2p"], "steps": 4}
    return build_recipe(fields, {}, "test")


@pytest.fixture(scope="module")
def whole(device, recipe, photo_bench, tmp_path_factory):
    """A run by one process, in batches of two."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    summary = run(recipe, photo_bench, folder, devices=str(device), batch_size=2)
    assert (summary.made, summary.failed) == (8, {})
    return folder


def test_a_batch_is_saved_while_the_next_is_edited(
    card, recipe, photo_bench, samples, tmp_path, monkeypatch, whole
):
    events = []

    class Watched(ModelRunner):
        def edit(self, combination, batch):
            events.append(("edit", time.monotonic()))
            return super().edit(combination, batch)

    def slowly(image, image_format):
        assert threading.current_thread() is not threading.main_thread()
        time.sleep(0.3)
        encoded = encode_image(image, image_format)
        events.append(("saved", time.monotonic()))
        return encoded

    monkeypatch.setattr(worker, "encode_image", slowly)
    summary = run(recipe, photo_bench, tmp_path, devices=str(card), batch_size=2, make_runner=Watched)
    assert (summary.made, summary.failed) == (8, {})
    order = [what for what, _ in sorted(events, key=lambda event: event[1])]
    assert order[:2] == ["edit", "edit"], "the second batch waited for the first to be saved"
    assert order.count("edit") == 4 and order.count("saved") == 8
    assert digests(tmp_path) == digests(whole)
    assert recorded_edits(tmp_path) == recorded_edits(whole), "saved in another order than edited"


def test_saved_pictures_are_whole(device, recipe, tiny_model, samples, whole):
    """What the saver's thread wrote is what the device has computed, to the last pixel."""
    model, store = load_model(str(tiny_model), device=device), RunStore.read(whole)
    for pair in recipe.pairs:
        for batch in (samples[:2], samples[2:]):
            for edit in edit_batch(model, batch, recipe.combination(*pair)):
                saved = read_image(store.image_file(*pair, edit.sample))
                assert np.array_equal(saved, edit.image)


def test_two_processes_on_one_card_make_what_one_makes(device, recipe, photo_bench, whole, tmp_path):
    summary = run(recipe, photo_bench, tmp_path, devices=str(device), batch_size=2, workers=2)
    assert (summary.made, summary.failed, summary.warnings) == (8, {}, [])
    assert digests(tmp_path) == digests(whole)
    assert sorted(recorded_edits(tmp_path)) == sorted(recorded_edits(whole))

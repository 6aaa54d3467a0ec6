import numpy as np
import pytest

from piebench_eval.data.prompts import strip_brackets
from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.demo.draw import draw
from piebench_eval.demo.scene import caption
from piebench_eval.demo.scene_edits import mark_changes, random_edit


def edits(type_id, number=40):
    return [random_edit(type_id, np.random.default_rng(seed)) for seed in range(number)]


@pytest.mark.parametrize("type_id", TYPE_NAMES)
def test_every_edit_shows_in_words_and_picture(type_id):
    for edit in edits(type_id, 10):
        opening = "a drawing of"
        assert caption(edit.source, opening) != caption(edit.target, opening)
        assert (draw(edit.source) != draw(edit.target)).any()
        assert edit.instruction


@pytest.mark.parametrize("type_id", TYPE_NAMES)
def test_blended_words_are_words_of_their_prompts(type_id):
    for edit in edits(type_id):
        if edit.blended_word:
            source, target = edit.blended_word.split()
            assert caption(edit.source).split().count(source) == 1
            assert caption(edit.target).split().count(target) == 1


@pytest.mark.parametrize(
    ("type_id", "field"), [("1", "shape"), ("4", "dot"), ("5", "tilted"), ("6", "color"), ("7", "material")]
)
def test_an_attribute_edit_changes_that_attribute_of_one_object(type_id, field):
    for edit in edits(type_id):
        changed = [
            (before, after)
            for before, after in zip(edit.source.things, edit.target.things, strict=True)
            if before != after
        ]
        ((before, after),) = changed
        differing = {name for name in vars(before) if getattr(before, name) != getattr(after, name)}
        assert differing == {field}


def test_adding_and_deleting_keep_the_other_object():
    for type_id, more in (("2", 1), ("3", -1)):
        for edit in edits(type_id):
            assert len(edit.target.things) - len(edit.source.things) == more
            assert set(edit.source.things) & set(edit.target.things)


def test_background_and_style_keep_the_objects():
    for type_id in ("8", "9"):
        for edit in edits(type_id):
            assert edit.source.things == edit.target.things


@pytest.mark.parametrize("type_id", TYPE_NAMES)
def test_brackets_mark_the_change_and_nothing_else(type_id):
    for edit in edits(type_id, 10):
        prompts = caption(edit.source, "a drawing of"), caption(edit.target, "a drawing of")
        marked = mark_changes(*prompts)
        assert tuple(strip_brackets(prompt) for prompt in marked) == prompts
        assert any("[" in prompt for prompt in marked)


def test_an_insertion_is_marked_in_the_target_alone():
    source, target = "a star on a gray background", "a tilted star on a gray background"
    assert mark_changes(source, target) == (source, "a [tilted] star on a gray background")

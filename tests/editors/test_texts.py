"""What an editor is told: the instruction or the target prompt, by the recipe's ``prompt_from``."""

from dataclasses import replace

import pytest

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.editors.texts import edit_text, needs_instruction, prompted_by
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.recipe import build_recipe
from tests.support.recipes import shipped


def editor_prompted_by(declared, **others):
    return Editor(
        title="test",
        paper="none",
        prompted_by=declared,
        masks="none",
        edit=lambda loaded, pictures, *_: EditedPictures(pictures),
        **others,
    )


@pytest.fixture(scope="module")
def sample(photo_bench):
    told = {"marked_target_prompt": "a [red] cat", "instruction": " make it red\n"}
    return replace(load_pie_bench(photo_bench)[0], **told)


@pytest.mark.parametrize(
    ("declared", "prompt_from", "told", "text"),
    [
        ("instruction", "auto", "instruction", "make it red"),
        ("both", "auto", "both", "make it red"),
        ("target prompt", "auto", "target prompt", "a red cat"),
        ("not declared", "auto", "not declared", "a red cat"),
        ("instruction", "target", "target prompt", "a red cat"),
        ("both", "target", "target prompt", "a red cat"),
        ("target prompt", "target", "target prompt", "a red cat"),
    ],
)
def test_an_editor_is_told_what_it_declares_unless_the_recipe_says_target(
    sample, declared, prompt_from, told, text
):
    editor, common = editor_prompted_by(declared), CommonSettings(model="none", prompt_from=prompt_from)
    assert prompted_by(editor, common) == told and edit_text(sample, editor, common) == text
    assert needs_instruction(editor, common) == (text == "make it red")


def test_recipes_hash_as_before_there_was_a_choice():
    recipe = shipped("paper")
    assert recipe.prompt_from == "auto" and recipe.hash.startswith("e858eff553c9")
    assert build_recipe(dict(recipe), {"prompt_from": "target"}, "test").hash != recipe.hash

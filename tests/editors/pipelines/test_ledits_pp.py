"""LEDITS++: what it makes of a sample, how its masks count words, and which settings do not go together."""

from dataclasses import replace

import pytest
import torch

from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import LoadOptions
from piebench_eval.editors.pipelines.ledits_pp import LEditsPPSettings, edits_of
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.combination import CommonSettings
from tests.editors.pipelines.cases import CASES
from tests.editors.pipelines.test_edits import edited, recipe_of

CASE = replace(CASES["ledits_pp"], settings={"skip": 0.5, "editing_prompt": "words"})
TARGET = {"skip": 0.5, "editing_prompt": "target"}


@pytest.fixture(scope="module")
def loaded(tiny_model):
    common = CommonSettings(model=str(tiny_model))
    return EDITORS.get("ledits_pp").load(LEditsPPSettings(), common, LoadOptions(torch.device("cpu")))


@pytest.mark.parametrize(
    ("source", "target", "prompts", "away"),
    [
        ("a [cat] on a [mat]", "a [dog] on a [mat]", ["cat", "dog"], [True, False]),
        ("a cat", "a cat [with a hat] and [with a hat]", ["with a hat"], [False]),
        ("a cat [and a dog]", "a cat", ["and a dog"], [True]),
        ("a cat [ ]", "a dog", ["a dog"], [False]),
        ("[a] cat", "[a] cat asleep", ["a cat asleep"], [False]),
    ],
)
def test_words_in_brackets_are_the_edits(samples, source, target, prompts, away):
    sample = replace(samples[0], marked_source_prompt=source, marked_target_prompt=target)
    common = CommonSettings(model="none")
    by_words = edits_of(sample, LEditsPPSettings(editing_prompt="words"), common)
    assert (by_words.prompts, by_words.reversed) == (prompts, away)
    assert bool(by_words.notes) == (prompts == [sample.target_prompt])
    by_target = edits_of(sample, LEditsPPSettings(), common)
    assert (by_target.prompts, by_target.reversed) == ([sample.target_prompt], [False])
    assert by_target.notes == []


def test_words_are_another_edit_and_cost_a_row_each(tiny_model, samples):
    words = edited(CASE, recipe_of(CASE, tiny_model), samples[:1])[0]
    target = edited(CASE, recipe_of(replace(CASE, settings=TARGET), tiny_model), samples[:1])[0]
    assert (words.image != target.image).any()
    assert (words.nfe_forward, target.nfe_forward) == (2 * (1 + 3), 2 * (1 + 2))
    unmarked = replace(samples[0], marked_source_prompt="a cat", marked_target_prompt="a dog")
    (noted,) = edited(CASE, recipe_of(CASE, tiny_model), [unmarked])
    assert any("the whole target prompt is the edit" in note for note in noted.notes)


def test_padding_is_not_counted_among_the_words(loaded):
    texts = ["a cat", "a photo of a dog"]
    options = {"padding": "max_length", "max_length": 77, "truncation": True, "return_tensors": "pt"}
    lengths = loaded.tokenizer(texts, return_length=True, **options).length
    assert lengths.tolist() == [len(loaded.tokenizer(text).input_ids) for text in texts] == [4, 7]
    assert loaded.tokenizer.model_max_length == 77


def test_the_sampler_is_the_papers(loaded):
    assert type(loaded.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert loaded.scheduler.config.algorithm_type == "sde-dpmsolver++"
    assert loaded.scheduler.config.solver_order == 2


@pytest.mark.parametrize(
    ("settings", "fields", "problem"),
    [
        ({"edit_warmup_steps": 2}, {}, r"edit_warmup_steps=2 leaves no step"),
        ({"edit_warmup_steps": 1, "edit_cooldown_steps": 1}, {}, r"edit_warmup_steps=1 leaves no step"),
        ({"source_prompt": "source"}, {"source_guidance": 1}, "source_guidance=1 would leave the prompt out"),
        ({"skip": 0.5}, {"steps": 700}, "skip=0.5 says are too many"),
    ],
)
def test_settings_that_do_not_go_together(settings, fields, problem):
    common = CommonSettings(model="none", **{"steps": 2, **fields})
    editor = EDITORS.get("ledits_pp")
    assert editor.settings_problem(LEditsPPSettings(), CommonSettings(model="none")) is None
    found = editor.settings_problem(LEditsPPSettings(**settings), common)
    assert found is not None and problem in found


def test_sides_are_multiples_of_32(tiny_model, samples):
    with pytest.raises(PiebenchError, match="112x112, and this editor takes sides that are multiples of 32"):
        edited(CASE, recipe_of(CASE, tiny_model, resolution=112), samples[:1])

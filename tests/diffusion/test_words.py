import dataclasses
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piebench_eval.data.sample import Sample
from piebench_eval.diffusion import words
from piebench_eval.methods.p2p import P2PSettings, problem
from piebench_eval.methods.word_plan import plan_words

LENGTH = 77


def tokens(prompt, tokenizer):
    return tokenizer.convert_ids_to_tokens(words.token_ids(prompt, tokenizer))


def test_words_of_one_and_of_several_tokens(tokenizer):
    prompt = "a zebra cat"
    # "zebra" is not in the small vocabulary: one token per letter.
    assert words.tokens_of_words(prompt, tokenizer) == [[1], [2, 3, 4, 5, 6], [7]]
    assert words.tokens_of_word(prompt, "zebra", tokenizer) == [2, 3, 4, 5, 6]


def test_repeated_and_absent_words(tokenizer):
    assert words.tokens_of_word("a cat next to a cat", "cat", tokenizer) == [2, 6]
    assert words.tokens_of_word("a cat, sitting", "cat", tokenizer) == []
    assert words.tokens_of_word("a cat", "", tokenizer) == []


def test_of_many_words_that_are_not_read_the_first_are_named(tokenizer):
    prompts = {"source": " ".join(["a"] * 8 + ["last"] + ["cat"] * 80), "target": "a cat"}
    (note,) = words.truncation_notes(prompts, [(tokenizer, 10)])
    assert "and was truncated; cut off: last cat cat" in note
    assert note.endswith("cat ...") and len(note) < 200


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        (" a cat on a mirror", "cat"),
        ("a  cat on a mirror", "cat"),
        ("a\tcat\non a mirror", "cat"),
        ("a cat on a mirror ", "mirror"),
        ("a \u201cround\u201d cat", "cat"),
        ("a \ufb01ne cat", "cat"),
        ("a cafe\u0301 cat", "cat"),
        ("\u4e00\u53ea\u732b cat dog", "cat"),
    ],
)
def test_a_word_has_its_own_tokens_whatever_stands_before_it(tokenizer, prompt, word):
    ids = words.token_ids(prompt, tokenizer)
    assert [ids[place] for place in words.tokens_of_word(prompt, word, tokenizer)] == words.token_ids(
        word, tokenizer
    )[1:-1]


def test_accents_and_scripts_without_blanks_are_found(tokenizer):
    assert words.tokens_of_word("a caf\u00e9 dog", "cafe\u0301", tokenizer)
    prompt = "\u4e00\u53ea\u732b"
    assert (
        words.tokens_of_word(prompt, "\u732b", tokenizer) == words.tokens_of_words(prompt, tokenizer)[0][-3:]
    )


def test_a_phrase_has_the_tokens_of_its_words(tokenizer):
    assert words.tokens_of_word("a round cake next to a cake", "round cake", tokenizer) == [2, 3]


@settings(deadline=None)
@given(
    st.lists(st.text(string.ascii_letters + string.digits + ".,'-!?:()", min_size=1), min_size=1, max_size=8)
)
def test_plain_prompts_are_read_as_by_the_published_code(tokenizer, parts):
    prompt = " ".join(parts)
    for word in parts:
        found = words.tokens_of_word(prompt, word, tokenizer)
        assert found == words.tokens_of_word_as_in_p2p_code(prompt, word, tokenizer)
        assert words.found_elsewhere_note(prompt, word, tokenizer) == []


def test_it_is_said_where_the_published_code_looks_elsewhere(tokenizer):
    sample = Sample("1", "1.png", Path(), "a  cat next to a dog", "a dog", "", "0", "cat dog", ())
    (note,) = plan_words(sample, [(tokenizer, LENGTH)], P2PSettings()).notes
    assert "'cat'" in note and "published code" in note and "'next'" in note


@pytest.mark.parametrize(
    ("source", "blended", "said"),
    [
        ("a cat, sitting", "cat dog", "which has 'cat,'"),
        ("a Cat", "cat dog", "which has 'Cat'"),
        ("a dog", "cat dog", "is not a word of the prompt"),
        ("a cat", "cat dog bird", "'bird' is dropped"),
        ("a cat " * 40 + "mirror", "mirror dog", "lies behind the 77 tokens"),
    ],
)
def test_a_word_that_is_not_found_or_not_read_is_said(tokenizer, source, blended, said):
    sample = Sample("1", "1.png", Path(), source, "a dog", "", "0", blended, ())
    assert any(said in note for note in plan_words(sample, [(tokenizer, LENGTH)], P2PSettings()).notes)


def test_a_difference_behind_the_last_token_is_said(tokenizer):
    head = "a round cake " * 40
    sample = Sample("1", "1.png", Path(), f"{head}cat", f"{head}dog", "", "0", "", ())
    assert (
        "do not differ in the 77 tokens" in plan_words(sample, [(tokenizer, LENGTH)], P2PSettings()).notes[-1]
    )


def test_tokens_beyond_the_encoder_are_left_out(tokenizer):
    prompt = "a cat " * 50 + "dog"
    assert words.is_truncated(prompt, tokenizer)
    assert len(words.token_ids(prompt, tokenizer)) == LENGTH
    assert max(words.tokens_of_word(prompt, "cat", tokenizer)) < LENGTH - 1
    assert words.tokens_of_word(prompt, "dog", tokenizer) == []


def test_a_swapped_word_keeps_its_own_attention():
    mapper, taken = words.refinement_alignment([0, 5, 6, 9], [0, 5, 7, 9], LENGTH)
    assert mapper[:4].tolist() == [0, 1, -1, 3]
    assert taken[:4].tolist() == [1, 1, 0, 1]


def test_inserted_words_shift_what_follows():
    mapper, taken = words.refinement_alignment([0, 5, 6, 9], [0, 5, 7, 8, 6, 9], LENGTH)
    assert mapper[:6].tolist() == [0, 1, -1, -1, 2, 3]
    # Padding is paired by absolute position even so.
    assert mapper[6:].tolist() == list(range(6, LENGTH))
    assert taken.sum() == LENGTH - 2


def test_refinement_matrix_picks_the_mapped_columns():
    mapper, _ = words.refinement_alignment([0, 5, 6, 9], [0, 5, 7, 8, 6, 9], LENGTH)
    maps = np.random.default_rng(0).random((3, LENGTH)).astype(np.float32)
    picked = maps @ words.refinement_matrix(mapper)
    aligned = mapper >= 0
    np.testing.assert_array_equal(picked[:, aligned], maps[:, mapper[aligned]])


def test_replacement_of_equal_token_counts_is_the_identity(tokenizer):
    matrix = words.replacement_matrix("a cat sitting", "a dog sitting", tokenizer)
    np.testing.assert_array_equal(matrix, np.eye(LENGTH))


def test_replacement_spreads_over_more_tokens(tokenizer):
    matrix = words.replacement_matrix("a cat sitting", "a zebra sitting", tokenizer)
    np.testing.assert_allclose(matrix[2, 2:7], 0.2)
    assert matrix[1, 1] == 1
    # Behind the last replaced word the identity stands on the target's positions.
    np.testing.assert_array_equal(matrix[7:, 7:], np.eye(LENGTH - 7))


def test_replacement_needs_equal_word_counts(tokenizer, samples):
    with pytest.raises(ValueError, match="words"):
        words.replacement_matrix("a cat", "a big cat", tokenizer)
    assert "word" in problem(samples[1], P2PSettings(controller="replace"))
    assert problem(samples[1], P2PSettings(controller="auto")) is None
    assert problem(samples[3], P2PSettings(controller="replace")) is None


@pytest.mark.parametrize(
    ("target", "replaced"),
    [
        ("a dog sitting", True),
        ("a zebra sitting", False),
        ("a dog sit ing", False),
        (" a dog sitting ", True),
    ],
)
def test_words_are_replaced_where_prompts_have_as_many_letters(tokenizer, samples, target, replaced):
    """Of as many words, which replacement needs; elsewhere they are refined."""
    sample = dataclasses.replace(
        samples[0], marked_source_prompt="a cat sitting", marked_target_prompt=target, blended_word=""
    )
    plan = plan_words(sample, [(tokenizer, LENGTH)], P2PSettings(controller="letters"))
    assert plan.use_source_map.all() == replaced


def test_replacement_of_over_long_prompts_does_not_fail(tokenizer):
    source = "a zebra " * 20 + "cat"
    matrix = words.replacement_matrix(source, source.replace("zebra", "dog"), tokenizer)
    assert matrix.shape == (LENGTH, LENGTH) and np.isfinite(matrix).all()


def test_notes_say_what_is_odd(tokenizer, samples):
    assert plan_words(samples[0], [(tokenizer, LENGTH)], P2PSettings()).notes == []
    missing, consequence = plan_words(samples[3], [(tokenizer, LENGTH)], P2PSettings()).notes
    assert "zebra" in missing and "other blended word" in consequence
    lost = dataclasses.replace(samples[0], blended_word="zebra lion")
    plan = plan_words(lost, [(tokenizer, LENGTH)], P2PSettings())
    assert plan.blend is None and len(plan.notes) == 3 and "without local blend" in plan.notes[-1]
    long = dataclasses.replace(samples[0], marked_target_prompt="a cat " * 60)
    assert any("truncated" in note for note in plan_words(long, [(tokenizer, LENGTH)], P2PSettings()).notes)


def test_the_equalizer_weighs_the_targets_blended_word(tokenizer, samples):
    plan = plan_words(samples[0], [(tokenizer, LENGTH)], P2PSettings(blend_word_weight=3))
    (cat,) = words.tokens_of_word(samples[0].target_prompt, "cat", tokenizer)
    assert plan.equalizer[cat] == 3 and plan.equalizer.sum() == LENGTH + 2

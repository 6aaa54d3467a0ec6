"""Words of T5's tokenizer, which has no start token, and of CLIP's: whatever a prompt looks like."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import Metaspace

from piebench_eval.diffusion import words
from tests.support.tiny_sd3 import new_t5_tokenizer

LENGTH = 24
WORDS = st.text(string.ascii_letters + string.digits + ".,'-!?:()éß猫\u2019", min_size=1, max_size=9)
BLANKS = st.text(" ", min_size=1, max_size=3)
PROMPTS = st.lists(st.tuples(WORDS, BLANKS), min_size=1, max_size=9)


def blanks_in_tokens():
    """A tokenizer whose tokens begin with the blank before them, as other files of T5's have it."""
    tokenizer = new_t5_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


@pytest.fixture(scope="module")
def published(golden_flow):
    """T5's tokenizer of the recordings: sentencepiece, of a few words."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(golden_flow / "tiny-sd3" / "tokenizer_3")


@pytest.fixture(scope="module", params=["clip", "t5", "t5_with_blanks", "published"])
def reader(request):
    if request.param == "clip":
        return request.getfixturevalue("tokenizer")
    if request.param == "published":
        return request.getfixturevalue("published")
    return new_t5_tokenizer() if request.param == "t5" else blanks_in_tokens()


def own_places(prompt, tokenizer, length=None):
    """Positions of a prompt's tokens without the tokenizer's own."""
    ids, special = words.token_ids(prompt, tokenizer, length), tokenizer.all_special_ids
    is_clip = ids[0] == tokenizer.bos_token_id
    begin, end = (1 if is_clip else 0), len(ids) - 1
    assert ids[end] in special and (ids[0] in special) == is_clip
    return list(range(begin, end))


@settings(deadline=None, max_examples=60)
@given(parts=PROMPTS)
def test_every_token_is_of_one_word_and_every_word_has_tokens(reader, parts):
    prompt = "".join(word + blank for word, blank in parts)
    found = words.tokens_of_words(prompt, reader)
    assert len(found) == len(parts) and all(found)
    together = [place for places in found for place in places]
    assert together == sorted(set(together)) and set(together) <= set(own_places(prompt, reader))
    lost = set(own_places(prompt, reader)) - set(together)
    assert all(not reader.decode([words.token_ids(prompt, reader)[place]]).strip() for place in lost)


@settings(deadline=None, max_examples=60)
@given(parts=PROMPTS, length=st.integers(2, LENGTH))
def test_a_word_is_found_at_each_of_its_places_as_far_as_is_read(reader, parts, length):
    prompt = "".join(word + blank for word, blank in parts)
    whole, read = words.tokens_of_words(prompt, reader), words.tokens_of_words(prompt, reader, length)
    last = len(words.token_ids(prompt, reader, length)) - 1
    assert last < length
    assert words.is_truncated(prompt, reader, length) == (len(words.token_ids(prompt, reader)) > length)
    for all_places, places in zip(whole, read, strict=True):
        assert places == [place for place in all_places if place < last]
    for word, _ in parts:
        expected = {
            p for (other, _), places in zip(parts, read, strict=True) if other == word for p in places
        }
        assert words.tokens_of_word(prompt, word, reader, length) == sorted(expected)


@settings(deadline=None, max_examples=60)
@given(source=st.lists(WORDS, min_size=1, max_size=6), target=st.lists(WORDS, min_size=1, max_size=6))
def test_alignments_pair_equal_tokens_within_the_text(reader, source, target):
    prompts = " ".join(source), " ".join(target)
    ids = [words.token_ids(prompt, reader, LENGTH) for prompt in prompts]
    mapper, taken = words.refinement_alignment(*ids, LENGTH)
    assert (mapper[: len(ids[1])] < len(ids[0])).all()
    assert mapper[len(ids[1]) - 1] == len(ids[0]) - 1  # both end in the end token
    assert taken.shape == (LENGTH,)
    if len(source) == len(target):
        matrix = words.replacement_matrix(*prompts, reader, LENGTH)
        assert matrix.shape == (LENGTH, LENGTH) and matrix.min() >= 0 and matrix.max() <= 1


def test_t5_has_no_start_token():
    tokenizer = new_t5_tokenizer()
    assert words.tokens_of_words("a zebra cat", tokenizer) == [[0], [1, 2, 3, 4, 5, 6], [7]]
    assert words.tokens_of_word("a cat next to a cat", "cat", tokenizer) == [1, 5]
    assert words.tokens_of_word("a cat, sitting", "cat", tokenizer) == []
    assert words.tokens_of_word("a  cat", "cat", tokenizer) == [1]
    same = words.replacement_matrix("a cat sitting", "a dog sitting", tokenizer, LENGTH)
    assert (same.diagonal() == 1).all() and same.sum() == LENGTH


def test_the_published_rule_counts_from_the_first_token():
    tokenizer = new_t5_tokenizer()
    assert words.tokens_of_word_as_in_p2p_code("a cat next", "cat", tokenizer) == [1]


def test_unknown_letters_are_of_their_word(published):
    prompt = "a 漢字 cat"
    ids, found = words.token_ids(prompt, published), words.tokens_of_words(prompt, published)
    assert published.unk_token_id in [ids[place] for place in found[1]]
    assert [published.decode([ids[place]]) for place in found[2]] == ["ca", "t"]


def test_each_tokenizers_length_is_told(tokenizer):
    long, t5 = "a cat " * 6, new_t5_tokenizer()
    prompts = {"source": long + "cat", "target": long + "dog"}
    notes = words.truncation_notes(prompts, [(tokenizer, 10), (t5, 40)])
    truncated = "prompt has more than 10 tokens of CLIPTokenizer and was truncated; cut off:"
    assert notes == [f"the source {truncated} a cat a cat cat", f"the target {truncated} a cat a cat dog"]
    *_, none = words.truncation_notes(prompts, [(tokenizer, 10), (t5, 12)])
    assert "do not differ in the 10 and 12 tokens that are read" in none

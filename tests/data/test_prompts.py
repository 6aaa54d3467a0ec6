from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.data.prompts import marked_phrases, split_punctuation, strip_brackets
from piebench_eval.data.sample import Sample


@given(st.lists(st.tuples(st.sampled_from(["a", "white cat", ""]), st.booleans()), max_size=6))
def test_marked_phrases_are_what_the_brackets_held(parts):
    prompt = " ".join(f"[{text}]" if marked else text for text, marked in parts)
    assert marked_phrases(prompt) == tuple(text for text, marked in parts if marked)
    assert strip_brackets(prompt) == " ".join(text for text, _ in parts)


@given(st.text())
def test_no_bracket_survives_and_nothing_else_goes(prompt):
    assert strip_brackets(prompt) == "".join(c for c in prompt if c not in "[]")


@given(st.text())
def test_split_punctuation_is_bert_s_basic_tokenizer(prompt):
    """Except for what CLIP's own clean-up does anyway: control characters, Chinese, odd white space."""
    apart = split_punctuation(prompt)
    assert split_punctuation(apart) == apart
    assert all(len(word) == 1 or not set(word) & set("'\"!.,-$") for word in apart.split(" "))


def test_blend_words(tmp_path):
    def blend_words(text):
        return Sample("1", "1.png", tmp_path, "", "", "", "0", text, ()).blend_words

    assert blend_words("") is None
    assert blend_words("  ") is None
    assert blend_words("cat dog") == ("cat", "dog")
    assert blend_words("cat") == ("cat", "cat")
    assert blend_words("cat dog bird") == ("cat", "dog")

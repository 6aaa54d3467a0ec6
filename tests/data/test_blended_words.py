"""How a blend's words are written, and what is said of those that are not found."""

import json

import pytest

from piebench_eval.data.pie_bench import MAPPING_FILE, load_pie_bench
from piebench_eval.data.prompts import blend_remarks, blend_words, dropped_words
from piebench_eval.data.remarks import remarks_on_data
from piebench_eval.errors import DataError
from tests.support.commands import piebench


@pytest.fixture
def load(photo_bench, tmp_path):
    """Load a copy of the small benchmark's first sample with other fields."""

    def loaded(**fields):
        annotations = json.loads((photo_bench / MAPPING_FILE).read_text())
        sample_id = next(iter(annotations))
        (tmp_path / MAPPING_FILE).write_text(json.dumps({sample_id: {**annotations[sample_id], **fields}}))
        if not (tmp_path / "annotation_images").exists():
            (tmp_path / "annotation_images").symlink_to(photo_bench / "annotation_images")
        return load_pie_bench(tmp_path)

    return loaded


@pytest.mark.parametrize("value", ["cat|polar bear", ["cat", "polar bear"], " cat | polar  bear "])
def test_phrases_are_set_apart_by_a_bar_or_a_list(load, value):
    (sample,) = load(blended_word=value)
    assert sample.blend_words == ("cat", "polar bear")
    assert dropped_words(sample.blended_word) == []


def test_one_side_stands_for_both():
    assert blend_words("polar bear|") == ("polar bear", "polar bear")
    assert blend_words("|hat") == ("hat", "hat")


@pytest.mark.parametrize("value", ["a|b|c", ["a", "b", "c"], ["a|b", "c"], "|", [1, 2], 7])
def test_what_names_no_two_phrases_is_refused(load, value):
    with pytest.raises(DataError, match="blended_word"):
        load(blended_word=value)


@pytest.mark.parametrize(
    ("source", "blended", "name"),
    [
        ("a cat on a table", "cat polar bear", "dropped_blended_words"),
        ("a cat, a table", "cat dog", "blended_words_in_another_form"),
        ("a table", "dog dog", "blended_words_in_the_other_prompt"),
        ("a table", "zebra dog", "absent_blended_words"),
    ],
)
def test_words_that_are_not_found_or_dropped_are_remarked(load, source, blended, name):
    samples = load(original_prompt=source, editing_prompt="a polar dog on a table", blended_word=blended)
    assert name in [remark.name for remark in remarks_on_data(samples)]


def test_nothing_is_said_of_words_that_are_found(load):
    (sample,) = load(original_prompt="a cat", editing_prompt="a dog", blended_word="cat dog")
    assert not any(blend_remarks(sample.source_prompt, sample.target_prompt, sample.blended_word).values())


def test_the_command_shows_the_remarks(load, tmp_path):
    load(original_prompt="a cat", editing_prompt="a polar bear", blended_word="cat polar bear")
    shown = piebench("data", "validate", tmp_path)
    assert "remark: 1 x blended words behind the second are dropped" in " ".join(shown.stdout.split())

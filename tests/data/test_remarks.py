"""What is suspicious about a benchmark's data."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.remarks import LABELS, count_remarks, counts_text, remarks_on_data
from piebench_eval.metrics.protocol import AverageRules
from piebench_eval.runs.shard import Shard
from piebench_eval.runs.store.manifest import describe_session
from piebench_eval.scoring.evaluation_set import evaluation_set_of
from piebench_eval.tables.remarks import score_remarks
from tests.support.commands import piebench
from tests.tables.test_tables import scores

LONG = " ".join(["a cat", *["very,"] * 40])


@pytest.fixture
def plain(samples):
    """A sample without anything suspicious."""
    return replace(samples[0], marked_target_prompt="a photo of a [cat]")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (
            "same_prompts",
            {"marked_source_prompt": "an [astronaut cat]", "marked_target_prompt": "an astronaut cat"},
        ),
        ("absent_blended_words", {"blended_word": "astronaut zebra"}),
        ("unmatched_brackets", {"marked_target_prompt": "a [cat"}),
        ("unmatched_brackets", {"marked_target_prompt": "a [[cat] is here]"}),
        ("long_prompts", {"marked_target_prompt": LONG}),
        ("empty_masks", {"mask_rle": ()}),
        ("empty_masks", {"mask_rle": (127 * 128, 0)}),
        ("full_masks", {"mask_rle": (0, 128 * 128)}),
        ("masks_past_the_end", {"mask_rle": (16000, 999)}),
        ("masks_of_another_size", {"mask_rle": (0, 64 * 64)}),
    ],
)
def test_what_is_suspicious_of_one_sample(plain, name, changes):
    assert remarks_on_data([plain]) == []
    (remark,) = remarks_on_data([replace(plain, **changes)])
    assert remark.name == name and remark.ids == (plain.id,)
    assert LABELS[name] in str(remark) and str(remark).startswith("1 x ")


def test_pictures_that_occur_twice(plain, samples):
    twice = [plain, replace(plain, id="again"), replace(plain, id="other", file=samples[1].file)]
    assert count_remarks(twice) == {"same_pictures": 2}


def test_validate_lists_remarks_with_counts(photo_bench):
    printed = piebench("data", "validate", photo_bench).stdout
    assert "remark: 1 x the mask sets no pixel of the picture (id 812000000003)" in printed
    assert "remark: 1 x a blended word is in neither prompt (id 912000000004)" in printed
    types = json.loads(piebench("data", "validate", photo_bench, "--json").stdout)
    assert {entry["type_id"]: entry["remarks"] for entry in types} == {
        "0": {},
        "1": {},
        "8": {"empty_masks": 1},
        "9": {"absent_blended_words": 1, "full_masks": 1},
    }


def test_runs_and_scores_carry_the_counts(photo_bench, samples, tmp_path):
    expected = {"absent_blended_words": 1, "empty_masks": 1, "full_masks": 1}
    assert describe_session(photo_bench, samples, "local", Shard())["remarks"] == expected
    evaluation_set = evaluation_set_of(None, photo_bench, photo_bench, "copy")
    assert evaluation_set.about["data_remarks"] == expected


def test_tables_carry_the_counts():
    about = {"data_remarks": {"empty_masks": 2, "full_masks": 1}}
    (remark,) = score_remarks(scores(4), about, AverageRules())
    assert counts_text(about["data_remarks"]) in remark and "2 x the mask sets no pixel" in remark
    assert score_remarks(scores(4), {"data_remarks": {"full_masks": 1}}, AverageRules()) == []


def test_remarks_on_many_samples_take_no_time(plain, tmp_path):
    """The work for each sample is bounded: no pixel of a picture is decoded."""
    Image.fromarray(np.zeros((128, 128, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    cut = (tmp_path / "a.png").read_bytes()[:60]
    (tmp_path / "a.png").write_bytes(cut)
    assert remarks_on_data([replace(plain, file=tmp_path / "a.png")]) == []

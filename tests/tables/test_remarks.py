"""What is said of scores beside every table."""

import numpy as np
import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS, CLIP_TARGET, LPIPS
from piebench_eval.metrics.protocol import MODERN, PAPER, AverageRules
from piebench_eval.tables.remarks import score_remarks
from tests.tables.test_tables import scores

ALL = AverageRules()


def about_protocol(name, protocol):
    return {"protocol": {"name": name, "rules": protocol.model_dump(mode="json")}}


def full_masks(ids, images=4):
    table = scores(images)
    table.loc[table["id"].isin(ids), list(BACKGROUND_COLUMNS)] = np.nan
    return table


def test_usual_scores_need_no_remark():
    for about in ({}, {"protocol": "paper", "precision": "fp32", "resized": [], "missing": []}):
        assert score_remarks(scores(4), about, ALL) == []
    assert score_remarks(scores(4), about_protocol("paper", PAPER), ALL) == []


def test_full_masks_are_counted_by_picture():
    (remark,) = score_remarks(full_masks(["1", "3"]), {}, ALL)
    assert remark.startswith("2 of 4 masks")


def test_a_score_that_is_nan_alone_is_no_full_mask():
    table = scores(4)
    table.loc[0, LPIPS] = np.nan
    assert score_remarks(table, {}, ALL) == []


def test_without_background_metrics_masks_are_not_spoken_of():
    assert score_remarks(scores(4)[["id", "inversion", "method", CLIP_TARGET]], {}, ALL) == []
    inside = PAPER.with_changes({"mask": {"background": "inside"}})
    (remark,) = score_remarks(full_masks(["1"]), about_protocol("inside", inside), ALL)
    assert "masks" not in remark


@pytest.mark.parametrize(
    ("about", "rules", "remark"),
    [
        ({"precision": "bf16"}, ALL, "scored in bf16: not for publication"),
        (
            {"combinations": {"a+b": {"weights": "int8"}, "c+d": {"weights": "full"}, "e+f": {}}},
            ALL,
            "edited by weights=int8, not the model's full ones (a+b): not for publication",
        ),
        ({"resized": ["7: 640x480 -> 512x512"]}, ALL, "1 picture was resized before scoring"),
        ({"resized": ["a", "b"]}, ALL, "2 pictures were resized before scoring"),
        ({"missing": ["direct+p2p: x.png"]}, ALL, "1 picture was missing and is in no mean"),
        (
            {},
            AverageRules(types=("1", "8")),
            "only these editing types count: 1 change object, 8 change background",
        ),
        (
            about_protocol("modern", MODERN),
            ALL,
            "scored by the protocol modern, which differs from the paper's: "
            "structure.resize: bilinear -> bilinear_antialiased; ssim.border: left_out -> included; "
            "clip.processor: pil -> torchvision",
        ),
        (
            about_protocol("mine.yaml", PAPER),
            ALL,
            "scored by the protocol mine.yaml, whose rules are the paper's",
        ),
    ],
)
def test_what_is_unusual_is_said(about, rules, remark):
    assert score_remarks(scores(4), about, rules) == [remark]


@pytest.mark.parametrize(
    "protocol", ["mine", {"name": "mine"}, {"name": "mine", "rules": {"ssim": {"border": "half"}}}]
)
def test_a_protocol_that_there_is_not(protocol):
    with pytest.raises(PiebenchError, match="JSON file beside the scores: protocol"):
        score_remarks(scores(4), {"protocol": protocol}, ALL)

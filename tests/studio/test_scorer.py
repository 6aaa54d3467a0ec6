"""Scores in the studio: a network that cannot be had costs its own scores, and is a note."""

import numpy as np

from piebench_eval.errors import PiebenchError
from piebench_eval.studio.scorer import Scorer


def test_a_network_that_cannot_be_had_is_a_note_and_is_not_tried_again(drawn_samples, monkeypatch):
    one = drawn_samples[0]
    asked = []

    def scored(batch, column):
        asked.append(column)
        if "clip" in column or "lpips" in column:
            raise PiebenchError(f"{column[:4]}: cannot be had")
        return [0.5]

    monkeypatch.setattr("piebench_eval.scoring.score.score_edits", scored)
    scorer, picture = Scorer("demo", "cpu"), np.zeros((64, 64, 3), np.uint8)
    for _ in range(2):
        scores, notes = scorer.scores(one, picture, "crop")
        assert {*scores} == {"psnr_unedit_part", "mse_unedit_part", "ssim_unedit_part"}
        assert len(notes) == 2 and "lpip: cannot be had" in notes[0] and "clip: cannot be had" in notes[1]
    assert len(asked) == 6 + 3


def test_an_edit_outlives_scores_that_do_not_fit_into_memory(drawn_samples, monkeypatch):
    one = drawn_samples[0]
    outcomes = iter([RuntimeError("CUDA error: out of memory"), *[[0.5]] * 20])

    def scored(batch, column):
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("piebench_eval.scoring.score.score_edits", scored)
    scorer, picture = Scorer("demo", "cpu"), np.zeros((64, 64, 3), np.uint8)
    scores, (note,) = scorer.scores(one, picture, "crop")
    assert len(scores) == 5 and "memory is full" in note
    assert len(scorer.scores(one, picture, "crop")[0]) == 6  # it may fit the next time

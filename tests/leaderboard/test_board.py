"""Which rows a leaderboard has, in which groups, and what it says of one's own."""

import csv
import io
import json
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from piebench_eval.api.tabulating import load_scores
from piebench_eval.errors import PiebenchError
from piebench_eval.leaderboard.board import make_board
from piebench_eval.leaderboard.filters import Filters, chosen
from piebench_eval.leaderboard.groups import Group, grouped
from piebench_eval.leaderboard.page import board_data, to_board_page
from piebench_eval.leaderboard.view import board_view
from piebench_eval.metrics.columns import MSE, PSNR
from piebench_eval.published.rows import published_rows
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.scores import read_scores
from tests.leaderboard.conftest import own_scores

ROWS = published_rows()


def group_of(board, method, model):
    (found,) = [group for group in board.groups if (group.method, group.model) == (method, model)]
    return found


@pytest.mark.parametrize(
    ("filters", "is_kept"),
    [
        (Filters(models=["FLUX"]), lambda row: row.family == "flux"),
        (Filters(models=["sd3.5", "LCM"]), lambda row: "SD3.5" in row.model or row.model.startswith("LCM")),
        (Filters(images=620), lambda row: row.images == 620),
        (Filters(masks="benchmark"), lambda row: row.masks_at_inference == "benchmark"),
        (Filters(masks="none"), lambda row: row.masks_at_inference in (None, "none")),
        (Filters(read_from=["paper", "readme"]), lambda row: row.read_from != "notes"),
        (Filters(since=2026), lambda row: (row.year or 0) >= 2026),
        (
            Filters(models=["flux"], images=700, masks="none", read_from=["paper"], since=2025),
            lambda row: row.family == "flux" and row.images == 700,
        ),
    ],
)
def test_filters_leave_what_they_name(filters, is_kept):
    kept, _ = chosen(ROWS, filters)
    assert kept == [row for row in ROWS if is_kept(row)] and 0 < len(kept) < len(ROWS)


def test_rows_that_do_not_tell_what_they_are_chosen_by_are_left_out_and_counted():
    _, remarks = chosen(ROWS, Filters(images=700, since=2024))
    unknown = sum(row.images is None for row in ROWS)
    undated = sum(row.images == 700 and row.year is None for row in ROWS)
    assert [int(line.rsplit(": ")[1]) for line in remarks] == [unknown, undated]
    assert "how many pictures" in remarks[0] and "year" in remarks[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"masks": "mine"}, ["--masks mine", "predicted"]),
        ({"read_from": ["paper", "blog"]}, ["--read-from blog", "readme"]),
        ({"models": ["sd9"], "since": 2031}, ["--model sd9 --since 2031", "FLUX.1-dev"]),
    ],
)
def test_a_wrong_filter_is_named_with_the_choices(given, words):
    with pytest.raises(PiebenchError) as caught:
        chosen(ROWS, Filters(**given))
    assert all(word in str(caught.value) for word in words)


def test_the_same_method_and_model_of_several_sources_stand_together_with_their_spread(board):
    group = group_of(board, "RF-Solver-Edit", "FLUX.1-dev")
    printed = sorted(entry.numbers["psnr"] for entry in group.entries)
    spread = group.spread["psnr"]
    assert (
        (spread.low, spread.high, spread.sources)
        == (22.9, 27.81, 6)
        == (
            printed[0],
            printed[-1],
            len(printed),
        )
    )
    assert spread.median == pytest.approx((24.33 + 24.44) / 2)
    assert sum(len(group.entries) for group in board.groups) == len(ROWS)


def test_a_row_that_others_print_again_counts_once(board):
    group = group_of(board, "FTEdit", "SD3.5-medium")
    assert sum(entry.numbers["psnr"] == 26.62 for entry in group.entries) == 3
    assert group.spread["psnr"].sources == 4
    assert not group_of(board, "DDIM + Pix2Pix-Zero", "SD1.4").spread


def test_a_doubtful_mean_is_shown_and_does_not_count(board):
    group = group_of(board, "FlowEdit", "SD3")
    (doubtful,) = [entry for entry in group.entries if "ssim" in entry.faults]
    assert doubtful.numbers["ssim"] == 93.22 and group.spread["ssim"].high < 90
    assert "SSIM: doubtful" in doubtful.marks


def test_what_the_linter_finds_is_marked_and_does_not_count(board):
    impossible = [
        entry
        for entry in board.entries
        if entry.faults.get("mse") == "impossible" and "psnr" not in entry.faults
    ]
    assert len(impossible) == 5 and {entry.where for entry in impossible} == {"SwiftEdit 2025"}
    assert all("MSE: impossible" in entry.marks for entry in impossible)
    assert "mse" not in group_of(board, "TurboEdit (Deutch et al.)", "SDXL-Turbo").spread
    (garbled,) = [
        entry for entry in board.entries if entry.method == "InfEdit" and entry.where == "FTEdit 2025"
    ]
    assert garbled.faults == dict.fromkeys(("structure_distance", "lpips", "ssim"), "doubtful")
    assert not any(entry.faults for entry in board.entries if entry.where == "PnP Inversion 2024")


@pytest.mark.parametrize("metric", TABLE_METRICS, ids=lambda metric: metric.key)
def test_groups_are_sorted_by_their_median_best_first_and_unknown_last(metric):
    values = [group.typical(metric.key) for group in make_board(Filters(), metric.key).groups]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=metric.better == "higher")
    assert values == known + [None] * (len(values) - len(known)) and known


def test_an_unknown_metric_is_named_with_the_known_ones():
    with pytest.raises(PiebenchError, match="--sort psnr_unedit: give one of structure_distance, psnr"):
        make_board(Filters(), "psnr_unedit")


def test_without_sorting_families_and_models_stand_together(board):
    models = [group.model for group in board.groups]
    assert len(list(groupby(models))) == len(set(models)) and models[0] == "SD1.4"


def test_own_rows_stand_beside_the_published_ones_of_their_combination_and_model(board_with_own):
    group = group_of(board_with_own, "Direct Inversion + P2P", "SD1.4")
    *published, mine = group.entries
    assert mine.is_measured and mine.method == "direct+p2p" and len(published) == 2
    low, high = mine.intervals["psnr"]
    assert mine.numbers["psnr"] == pytest.approx(27.2) and low < mine.numbers["psnr"] < high
    for entry in published:
        assert set(entry.inside) == {metric.key for metric in TABLE_METRICS} - {"clip_edit", "mse"}
        assert entry.inside["psnr"] == ["direct+p2p"]
    elsewhere = [entry for entry in board_with_own.entries if entry.inside]
    assert len(elsewhere) == 2, "only rows of this combination and model are marked"
    folder = group_of(board_with_own, "mine <b>", "")
    assert folder.entries[0].is_measured and not folder.spread
    assert (folder.entries[0].masks, folder.entries[0].prompted_by) == ("predicted", "instruction")
    assert group.spread == replace(group, entries=published).spread, "one's own row is no source"


def test_scores_of_fewer_pictures_mark_nothing_and_say_why(tmp_path):
    board = make_board(Filters(), scores=load_scores(own_scores(tmp_path, images=30)[:1]))
    assert not any(entry.inside for entry in board.entries)
    assert any(
        "direct+p2p: no published mean is marked" in line and "30 images" in line for line in board.remarks
    )


def test_the_demos_scores_are_held_against_nobody(own):
    scores = load_scores(own[:1])
    board = make_board(Filters(), scores=replace(scores, provenance={**scores.provenance, "model": "demo"}))
    (mine,) = [entry for entry in board.entries if entry.is_measured]
    assert not any(entry.inside for entry in board.entries) and mine.model == "the demo's"


def test_a_measured_row_without_published_ones_is_a_group_of_its_own(board_with_own):
    mine = next(entry for entry in board_with_own.entries if entry.method == "direct+p2p")
    (group,) = grouped([], [(mine, None)])
    assert group == Group("direct+p2p", "SD1.4", "sd1", [mine])


def test_a_background_that_nothing_changed_has_an_infinite_psnr(tmp_path):
    run, _ = own_scores(tmp_path, images=30)
    rows = read_scores(run / "scores.csv").assign(**{PSNR: np.inf, MSE: 0.0})
    rows.to_csv(run / "scores.csv", index=False)
    board = make_board(Filters(), "psnr", load_scores([run]))
    text = to_text(board_view(board.groups, board.remarks, exact=True).table, "csv")
    (written,) = [row for row in csv.DictReader(io.StringIO(text)) if row["row"] == "measured"]
    assert written["psnr"] == "inf" and float(written["mse"]) == 0
    (mine,) = [entry for entry in board.entries if entry.is_measured]
    assert mine.numbers["psnr"] == np.inf and "psnr" not in mine.intervals
    assert board.groups[0].typical("psnr") > 30, "it does not make an edit the best"
    shown = json.dumps(board_data(board), allow_nan=False)
    assert '"direct+p2p"' in shown and ">inf<" in to_board_page(board)

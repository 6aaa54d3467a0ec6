"""A board of all published rows, and one with a run and a folder that were scored here."""

import json

import numpy as np
import pytest

from piebench_eval.api.tabulating import load_scores
from piebench_eval.leaderboard.board import make_board
from piebench_eval.leaderboard.filters import Filters
from piebench_eval.metrics.columns import MSE, PSNR
from piebench_eval.tables.layout import TABLE_METRICS
from tests.support.browser import chromium, open_page  # noqa: F401
from tests.tables.test_combined import write
from tests.tables.test_tables import PAPER_LIKE, scores

MEASURED = {"structure_distance": 11.7, "psnr": 27.2, "lpips": 54.6, "ssim": 84.8}
MEASURED |= {"clip_whole": 25.0, "clip_edit": 30.0}
"""Near Table 1's row of direct+p2p, but for the last, and for the MSE that these PSNRs have."""


def own_scores(folder, images=700):
    """A run of direct+p2p with means near the paper's, and a folder of pictures."""
    rows = scores(images, inversions=("direct",))
    spread = np.random.default_rng(1).permutation(np.linspace(0.8, 1.2, images))
    for metric in TABLE_METRICS:
        rows[metric.column] = MEASURED.get(metric.key, 0) / metric.scale * spread
    rows[MSE] = 10 ** (-rows[PSNR] / 10)
    write(folder / "run" / "scores.csv", rows, **PAPER_LIKE)
    mine = rows.drop(columns=["inversion", "method", "type"]).assign(name="mine <b>")
    write(folder / "mine.csv", mine, name="mine <b>")
    beside = folder / "mine.json"
    facts = {"mine <b>": {"masks": "predicted", "prompted_by": "instruction"}}
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "rows": facts}))
    return [folder / "run", folder / "mine.csv"]


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    return own_scores(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="session")
def board():
    return make_board(Filters())


@pytest.fixture(scope="session")
def board_with_own(own):
    return make_board(Filters(), scores=load_scores(own))

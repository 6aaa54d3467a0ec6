"""The leaderboard's page without a browser: its HTML, data and script."""

import re
import shutil
import subprocess

import pytest

from piebench_eval.leaderboard.page import board_data, to_board_page, write_board
from piebench_eval.published.rows import published_rows

NODE = shutil.which("node")


def test_every_row_is_in_the_page_with_its_link_and_note(board):
    page = to_board_page(board)
    assert len(re.findall(r"<tr id=\"row-\d+\"", page)) == len(published_rows())
    assert page.count("<tbody>") == len(board.groups)
    links = {row.link for row in published_rows() if row.link}
    assert len(links) > 15 and all(f'href="{link}"' in page for link in links)
    assert "27.20" in page and "SSIM is probably a misprint of 83.22" in page
    assert not re.search(r"(?:src|href)=\"https?://(?!arxiv\.org|github\.com)", page)


def test_names_are_never_markup(board_with_own):
    page = to_board_page(board_with_own)
    assert "mine &lt;b&gt;" in page and "mine <b>" not in page
    assert page.count('measured"') == 2


def test_data_has_the_rows_in_the_order_of_the_table(board_with_own):
    rows = board_data(board_with_own)["rows"]
    assert [row["method"] for row in rows] == [entry.method for entry in board_with_own.entries]
    mine = next(row for row in rows if row["isMeasured"])
    assert len(mine["intervals"][0]) == 2 and not mine["isOriginal"]
    assert max(row["group"] for row in rows) == len(board_with_own.groups) - 1


@pytest.mark.skipif(NODE is None, reason="there is no node")
def test_the_script_is_javascript(board, tmp_path):
    folder = write_board(board, tmp_path / "board").parent
    for name in ("report.js", "data.js"):
        done = subprocess.run([NODE, "--check", folder / name], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

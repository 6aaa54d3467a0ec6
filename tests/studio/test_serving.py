"""What is done before the page is served; the page itself is in ``test_browser.py``."""

import os

import pytest
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.cli.studio import _by_editor
from piebench_eval.errors import PiebenchError
from piebench_eval.studio.serving import ask_no_proxy_for


def test_no_proxy_is_asked_for_the_page_and_those_of_the_user_stay(monkeypatch):
    monkeypatch.setenv("no_proxy", "")  # so that it is taken away at the end
    monkeypatch.setenv("NO_PROXY", "intern.example, 127.0.0.1")
    ask_no_proxy_for("192.168.0.7")
    assert os.environ["no_proxy"] == "intern.example,127.0.0.1,localhost,192.168.0.7"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]


def test_help_names_the_extra_with_its_brackets():
    shown = CliRunner().invoke(app, ["studio", "--help"]).output
    assert "pip install 'piebench-eval[studio]'" in shown


def test_models_of_editors_are_pairs():
    assert _by_editor(["instruct_pix2pix=my/model", "diffusers=a=b"]) == {
        "instruct_pix2pix": "my/model",
        "diffusers": "a=b",
    }
    for wrong in ("instruct_pix2pix", "=x", "x="):
        with pytest.raises(PiebenchError, match="write EDITOR=MODEL"):
            _by_editor([wrong])

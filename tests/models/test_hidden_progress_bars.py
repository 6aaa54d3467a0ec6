"""Other libraries draw no bars while a model is loaded."""

import warnings

import pytest
import torch
from diffusers.utils import logging as of_diffusers
from huggingface_hub import utils as hub
from transformers import CLIPTextModel
from transformers.utils import logging as of_transformers

from piebench_eval.models.from_pretrained import explained_loading, load_complete


@pytest.fixture(autouse=True)
def shown():
    """Bars are on, as in a notebook."""
    for library in (of_diffusers, of_transformers):
        library.enable_progress_bar()


def are_shown():
    return [library.is_progress_bar_enabled() for library in (of_diffusers, of_transformers)]


def test_they_are_hidden_while_a_model_is_loaded_and_shown_again():
    with explained_loading("--model", "x", "a model"):
        assert are_shown() == [False, False]
        assert hub.are_progress_bars_disabled()
    assert are_shown() == [True, True]


def test_what_was_hidden_before_stays_hidden():
    of_diffusers.disable_progress_bar()
    with explained_loading("--model", "x", "a model"):
        pass
    assert are_shown() == [False, True]
    of_diffusers.enable_progress_bar()


def test_loading_a_model_says_nothing(tiny_model, capfd):
    with explained_loading("--model", "x", "a model"):
        load_complete(CLIPTextModel, str(tiny_model / "text_encoder"), torch.device("cpu"))
        warnings.warn("deprecated", FutureWarning, stacklevel=1)
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""

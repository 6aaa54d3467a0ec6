"""Tests on a CUDA device: ``pytest -m cuda``, or ``scripts/gpu_check.py``; skipped where there is none.

``PIEBENCH_GPU`` names another device than cuda:0. ``cpu`` runs what needs no GPU's memory, slowly: for
whoever changes these tests where there is no GPU.
"""

import json
import os
from pathlib import Path

import pytest
import torch

from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from scripts.gpu.cuda_tests import LOG
from scripts.speed.models import SIZES, save_model
from scripts.speed.samples import save_samples
from tests.support.recipes import shipped

SIDE, STEPS = 512, 10
"""Latents of 64x64, as Stable Diffusion has them: smaller ones hide gradients that vanish in float16."""


@pytest.fixture(scope="session")
def device():
    name = os.environ.get("PIEBENCH_GPU", "cuda:0")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(name)


@pytest.fixture(scope="session")
def card(device):
    """A device whose memory PyTorch hands out."""
    if device.type != "cuda":
        pytest.skip("needs the memory of a CUDA device")
    return device


@pytest.fixture(scope="session")
def small_sd(device, tmp_path_factory):
    """A model of Stable Diffusion's shape with few channels and random weights, for 512 pixels."""
    return str(save_model(tmp_path_factory.mktemp("model"), SIZES["tiny"]))


@pytest.fixture(scope="session")
def load(device, small_sd):
    """Load that model in a precision: once for the session."""
    loaded = {}

    def load_once(precision="fp32"):
        if precision not in loaded:
            loaded[precision] = load_model(small_sd, device=device, precision=precision)
        loaded[precision].cache = Cache({})
        return loaded[precision]

    return load_once


@pytest.fixture(scope="session")
def pictures(device, tmp_path_factory):
    """Eight photographs of 512 pixels with prompts and blended words, no two alike."""
    return save_samples(tmp_path_factory.mktemp("pictures"), 8, SIDE)


@pytest.fixture(scope="session")
def combination(small_sd):
    """A combination of Table 1 by its name."""

    def of_table1(name, **overrides):
        recipe = shipped("table1", {"model": small_sd, "steps": STEPS, "resolution": SIDE, **overrides})
        return recipe.combination(*name.split("+"))

    return of_table1


def pytest_runtest_logstart(nodeid):
    _log({"test": nodeid})


def pytest_runtest_logreport(report):
    """Tell ``scripts/gpu_check.py`` of each test as soon as it ends."""
    if report.when != "call" and report.outcome == "passed":
        return
    entry = {"test": report.nodeid, "outcome": report.outcome, "seconds": report.duration}
    why = report.longrepr[2] if report.outcome == "skipped" else ""
    _log({**entry, "why": str(why).removeprefix("Skipped: "), "measured": report.user_properties})


def _log(entry):
    if file := os.environ.get(LOG):
        with Path(file).open("a") as stream:
            stream.write(json.dumps(entry) + "\n")

"""The reference implementation's recordings: their names, their cases and how near they must be met."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from piebench_eval.data.sample import Sample

STEPS = 10
CASES = ["case1_cake", "case2_cat", "case3_astronaut"]
INVERSION_NAMES = {
    "ddim": "ddim",
    "direct": "directinversion",
    "null_text": "null-text-inversion",
    "negative_prompt": "negative-prompt-inversion",
    "edit_friendly": "edit-friendly-inversion",
}
METHOD_NAMES = {"proximal": "proximal-guidance"}

# The recordings' own recommendation: about 20 times the rounding error of the encoded picture.
TRAJECTORY_TOLERANCE = 5e-5
FINAL_MAX, FINAL_RMS = 2e-3, 2e-4
GREY_LEVELS, SHARE_OF_VALUES = 1, 0.99


def load_case(golden: Path, case: str) -> Sample:
    about = json.loads((golden / "cases.json").read_text())[case]
    file = golden / about["image"]
    prompts = about["source_prompt"], about["target_prompt"]
    return Sample(case, about["image"], file, *prompts, "", "0", about["blended_word"], ())


def load_flow_case(folder: Path, case: str) -> Sample:
    """A case of the recordings of flow-matching and distilled models."""
    cases = json.loads((folder / "cases.json").read_text())
    (about,) = [each for each in cases if each["id"] == case]
    prompts = about["source_prompt"], about["target_prompt"]
    return Sample(case, about["image"], folder / about["image"], *prompts, "", "0", "", ())


def check_final(final, recording, largest=FINAL_MAX, rms=FINAL_RMS):
    error = np.abs(final.numpy() - recording["final_latent"])
    assert error.max() <= largest
    assert np.sqrt((error**2).mean()) <= rms


@contextmanager
def recorded_calls(model):
    """Collects time, latents and output of each call of a model's denoiser."""
    calls, denoise = [], model.denoise

    def recorded(latents, time, conditioning):
        output = denoise(latents, time, conditioning)
        calls.append((time.item(), latents, output))
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "denoise", recorded)
        yield calls

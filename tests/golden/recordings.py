"""The reference implementation's recordings: their names, their cases and how near they must be met."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from piebench_eval.data.images import read_image
from piebench_eval.data.sample import Sample
from piebench_eval.models.sd1 import padded_tokens

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


def near(found, recorded, tolerance):
    np.testing.assert_allclose(np.asarray(found), recorded, rtol=0, atol=tolerance)


def check_picture(image, recording, levels, share):
    """An edited picture beside the recorded one, or beside its middle, where only that was recorded."""
    if "edited_image" in recording:
        recorded = recording["edited_image"]
    else:
        recorded = recording["edited_image_crop"]
        height, width = recorded.shape[:2]
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        image = image[top : top + height, left : left + width]
    apart = np.abs(image.astype(int) - recorded)
    assert apart.max() <= levels and (apart > 0).mean() <= share


def recording_of(folder, name, case):
    """A recording of flow-matching edits with its encoded picture, which variants of a run leave out."""
    found = dict(np.load(folder / "npz" / f"{name}__{case}.npz"))
    if "z0" not in found:
        found["z0"] = np.load(folder / "npz" / f"{name.rsplit('_', 1)[0]}__{case}.npz")["z0"]
    return found


def check_token_ids(model, units, sample, case, lengths):
    """The ids of a case's prompts and of the empty one, by tokenizer and number of tokens."""
    texts = {f"{case}_src": sample.source_prompt, f"{case}_tar": sample.target_prompt, "empty": ""}
    for name, length in lengths.items():
        for key, text in texts.items():
            found = padded_tokens(getattr(model, name), text, length)[0]
            np.testing.assert_array_equal(found, units[f"ids_{name}_{key}"])


def check_embeddings(model, units, sample, case, tolerance):
    """The embeddings of a case's source prompt and of the empty one."""
    of_source = model.embed_prompts([sample.source_prompt])
    for name, found in {f"{case}_src": of_source, "empty": model.embed_uncond(1)}.items():
        near(found.tokens, units[f"embeds_{name}"], tolerance)
        near(found.pooled, units[f"pooled_{name}"], tolerance)


def check_encoded_picture(model, sample, recorded, tolerance):
    """A picture that is cut at the bottom and right to its latents' size."""
    height, width = (8 * side for side in recorded.shape[2:])
    near(model.encode_images([read_image(sample.file)[:height, :width]]), recorded, tolerance)


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

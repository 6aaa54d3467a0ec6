"""Prompt-to-Prompt's controller against the reference's recording on synthetic attention maps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from piebench_eval.data.sample import Sample
from piebench_eval.diffusion import words
from piebench_eval.methods.p2p import P2P, P2PSettings
from piebench_eval.methods.word_plan import plan_words
from piebench_eval.models.loading import load_model

STEPS, HEADS = 10, 2
pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def recording(golden):
    return np.load(golden / "extra" / "p2p_controller_unit.npz")


@pytest.fixture(scope="module")
def reference_model(golden):
    return load_model(str(golden / "tiny-sd"))


def sample_of(recording) -> Sample:
    source, target = recording["prompts"].tolist()
    return Sample("unit", "", Path(), source, target, "", "0", " ".join(recording["blend"]), ())


def synthetic_maps(step: int, layer: int) -> torch.Tensor:
    """Attention probabilities ``[4 rows, heads, 256, 77]``, as the recording's README defines them."""
    generator = torch.Generator().manual_seed(1000 + 10 * step + layer)
    logits = 2 * torch.randn(8, 256, 77, generator=generator)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")

    def bump(cy, cx):
        return torch.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8).reshape(-1)

    logits[4:6, :, 2] += 6 * bump(4, 5)
    logits[6:8, :, 2:5] += 6 * bump(10, 8 + step / 2)[:, None]
    return logits.softmax(-1).reshape(4, HEADS, 256, 77)


def test_words(recording, reference_model):
    tokenizer = reference_model.tokenizer
    plan = plan_words(sample_of(recording), [(tokenizer, 77)], P2PSettings())
    ids = [words.token_ids(prompt, tokenizer) for prompt in recording["prompts"].tolist()]
    mapper, taken = words.refinement_alignment(*ids, 77)
    np.testing.assert_array_equal(mapper, recording["mapper"].ravel())
    np.testing.assert_array_equal(taken, recording["alphas"].ravel())
    np.testing.assert_array_equal(plan.equalizer, recording["equalizer"].ravel())
    np.testing.assert_array_equal(plan.blend, recording["alpha_layers"].reshape(2, 77))


def test_maps_masks_and_latents(recording, reference_model):
    controller = P2P.prepare([sample_of(recording)], reference_model, STEPS, P2PSettings()).controller
    latents = torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(77))
    masks = []
    for step in range(7):
        for layer in range(2, 7):
            maps = synthetic_maps(step, layer)
            source, target = maps[2:3], maps[3:4]
            if step < controller.step_ranges.cross_attention_end:
                target = controller.edit(source, target)
            controller.local_blend.collect(source, target, 16, 16)
            if layer == 2:
                recorded = recording["edited_map_target_strided"][step]
                np.testing.assert_allclose(target[0, :, ::16].numpy(), recorded, atol=1e-6)
        blended = controller.on_step_end(step, latents[:1], latents[1:])
        recorded = recording["x_after"][step][1]
        np.testing.assert_allclose(blended[0, :, ::4, ::4].numpy(), recorded, atol=1e-6)
        if step >= controller.step_ranges.blend_start:
            masks.append(controller.local_blend.masks(64, 64).any(dim=1)[0].numpy())
    expected = np.unpackbits(recording["blend_mask"], axis=-1).astype(bool).reshape(5, 64, 64)
    np.testing.assert_array_equal(np.stack(masks), expected)
    assert 0 < expected.mean() < 1

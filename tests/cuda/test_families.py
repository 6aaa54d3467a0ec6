"""Models of every family on a GPU: float32 edits are a CPU's, and offloading changes no bit."""

import dataclasses

import numpy as np
import pytest
import torch

from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from piebench_eval.models.quantization import blocks_of
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents
from scripts.speed.measure import TOLERANCE

pytestmark = pytest.mark.cuda

STEPS, SIDE = 5, 128
LAYERS = {"masactrl": {"start_step": 1, "start_layer": 5}}
BY_ROWS = {"guidance": 2.3, "source_guidance": 1.0, "guidance_policy": "classifier_free"}
CASES = [
    ("sdxl", "direct", "p2p", {}),
    ("sdxl", "direct", "pnp", {}),
    ("sdxl", "direct", "masactrl", {}),
    ("sdxl", "negative_prompt", "proximal", {}),
    ("sdxl", "edit_friendly", "plain", {}),
    ("sdxl", "turboedit", "plain", {"guidance": 1.5}),
    ("instaflow", "euler", "p2p", {"guidance": 1.5}),
    ("instaflow", "edit_friendly", "plain", {"guidance": 1.5}),
    ("sd3", "euler", "plain", {}),
    ("sd3", "edit_friendly", "plain", {}),
    ("sd3", "flowedit", "plain", {"source_guidance": 3.5}),
    ("sd3", "dnaedit", "dnaedit", {"source_guidance": 1.0}),
    ("sd3", "uni_inv", "uni_edit", {"guidance": 1.0}),
    ("sd3", "direct", "p2p", {}),
    ("flux", "flowedit", "plain", {"guidance": 5.5, "source_guidance": 1.5}),
    ("flux", "rf_inversion", "rf_inversion", {"guidance": 3.5}),
    ("sd3", "direct", "value_sharing", {}),
    ("lcm", "direct", "p2p", {}),
    (
        "lcm",
        "ddcm",
        "infedit",
        {"guidance": 2.3, "source_guidance": 1.0, "guidance_policy": "classifier_free"},
    ),
]


@pytest.fixture(scope="module")
def folders(tiny_sdxl, tiny_instaflow, tiny_lcm, tiny_sd3, tiny_flux):
    return {
        "sdxl": str(tiny_sdxl),
        "instaflow": str(tiny_instaflow),
        "lcm": str(tiny_lcm),
        "sd3": str(tiny_sd3),
        "flux": str(tiny_flux),
    }


def edited(folder, device, samples, inversion, method, fields, precision="fp32", **loading):
    model = load_model(folder, device=device, precision=precision, **loading)
    model.cache = Cache({})
    recipe = build_recipe(
        {
            "model": folder,
            "precision": precision,
            "steps": STEPS,
            "resolution": SIDE,
            "inversions": [inversion],
            "methods": {method: LAYERS.get(method, {})},
            **fields,
        },
        {},
        "test",
    )
    return edit_latents(model, samples[:2], recipe.combination(inversion, method))[0].float().cpu()


@pytest.mark.parametrize(("family", "inversion", "method", "fields"), CASES)
def test_float32_edits_are_those_of_a_cpu(
    device, folders, samples, family, inversion, method, fields, record_property
):
    arguments = samples, inversion, method, fields
    expected = edited(folders[family], torch.device("cpu"), *arguments)
    off = (edited(folders[family], device, *arguments) - expected).abs()
    record_property("latents off, max", f"{off.max():.1e}")
    record_property("rms", f"{off.square().mean().sqrt():.1e}")
    assert off.max() <= TOLERANCE[0] and off.square().mean().sqrt() <= TOLERANCE[1]


@pytest.mark.parametrize(
    ("family", "method"), [("sdxl", "p2p"), ("instaflow", "p2p"), ("lcm", "p2p"), ("sd3", "plain")]
)
def test_half_precision_is_finite_and_near(device, folders, samples, family, method, record_property):
    arguments = samples, "direct", method, {"guidance": 2.0}
    exact = edited(folders[family], device, *arguments)
    half = edited(folders[family], device, *arguments, precision="bf16")
    assert half.isfinite().all()
    record_property("bf16 off, rms", f"{(half - exact).square().mean().sqrt():.1e}")
    assert (half - exact).square().mean().sqrt() < 0.2 * exact.std()


@pytest.mark.parametrize(("family", "method"), [("sdxl", "p2p"), ("lcm", "p2p"), ("sd3", "plain")])
def test_offloaded_text_encoders_change_nothing(device, folders, samples, family, method):
    found = [
        edited(folders[family], device, samples, "direct", method, {}, offload_text_encoders=offload).numpy()
        for offload in (False, True)
    ]
    # Embeddings are made on the device either way.
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("family", ["sd3", "flux"])
@pytest.mark.parametrize("method", ["plain", "value_sharing"])
def test_sequential_offload_changes_nothing(device, folders, samples, family, method, record_property):
    kinds, peaks = {"guidance": 2.0}, []
    found = []
    for offload in (False, True):
        torch.cuda.reset_peak_memory_stats(device)
        edits = edited(folders[family], device, samples, "direct", method, kinds, sequential_offload=offload)
        found.append(edits.numpy())
        peaks.append(torch.cuda.max_memory_allocated(device))
    record_property("peak bytes, whole and offloaded", str(peaks))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_blocks_are_pinned_and_on_the_gpu_only_while_they_compute(device, folders, family):
    denoiser = load_model(folders[family], device=device, sequential_offload=True).denoiser
    of_blocks = [parameter for block in blocks_of(denoiser) for parameter in block.parameters()]
    assert all(parameter.device.type == "cpu" and parameter.is_pinned() for parameter in of_blocks)
    assert denoiser.device.type == "cuda"


@pytest.mark.parametrize(("weights", "most"), [("int8", 0.1), ("nf4", 0.5)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_quantised_weights_are_near(
    device, folders, samples, family, precision, weights, most, record_property
):
    pytest.importorskip("torchao")
    arguments = samples, "direct", "value_sharing", {"guidance": 2.0}, precision
    exact = edited(folders[family], device, *arguments)
    found = edited(folders[family], device, *arguments, weights=weights)
    off = ((found - exact).square().mean().sqrt() / exact.std()).item()
    record_property("off, in standard deviations", f"{off:.1e}")
    assert 0 < off < most


def test_samples_are_as_in_a_batch_of_one(device, folders, samples, record_property):
    together = edited(folders["sdxl"], device, samples, "direct", "p2p", {})
    other = [dataclasses.replace(sample) for sample in samples[1:2]]
    alone = edited(folders["sdxl"], device, other, "direct", "p2p", {})
    record_property("latents off, max", f"{(together[1] - alone[0]).abs().max():.1e}")
    assert (together[1] - alone[0]).abs().max() <= TOLERANCE[0]

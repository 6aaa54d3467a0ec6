"""--compile, by the compiler that users have."""

import pytest
import torch

from piebench_eval.models.cache import Cache
from piebench_eval.models.compile import compile_blocks
from piebench_eval.models.loading import load_model
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from scripts.speed.measure import TOLERANCE
from tests.cuda.test_precisions import ROUNDINGS, rms
from tests.support.recipes import shipped

pytestmark = pytest.mark.cuda

RESOLUTION, STEPS = 128, 2
"""One step that takes maps from the source, and one that does not."""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_blocks_make_the_same_edit(device, tiny_model, samples, precision, record_property):
    """In float32 within the recordings' tolerance; in bf16 by rounding: fused layers round less often."""
    settings = {"model": str(tiny_model), "steps": STEPS, "resolution": RESOLUTION, "precision": precision}
    combination = shipped("table1", settings).combination("direct", "p2p")
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    model = load_model(str(tiny_model), device=device, precision=precision)
    model.cache = Cache({})  # the inversion is not done again: another number of rows to compile for
    expected, _ = edit_latents(model, samples[:2], combination)
    moved = rms(expected - encode_inputs(model, samples[:2], RESOLUTION).latents)
    compile_blocks(model.unet)
    found, _ = edit_latents(model, samples[:2], combination)
    record_property("graphs", torch._dynamo.utils.counters["stats"]["unique_graphs"] - before)
    record_property("latents off, max", f"{float((found - expected).abs().max()):.1e}")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before, "nothing was compiled"
    if precision == "fp32":
        assert float((found - expected).abs().max()) <= TOLERANCE[0]
        assert rms(found - expected) <= TOLERANCE[1]
    else:
        assert rms(found - expected) <= ROUNDINGS * torch.finfo(torch.bfloat16).eps * moved

"""Same weights, same pictures: the numbers of TurboEdit's published code, by configs/turboedit.yaml."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from piebench_eval.diffusion.loop import InversionResult
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.combination import Combination
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from piebench_eval.runs.edit_inputs import plan_schedule
from tests.golden.recordings import check_final, load_flow_case, recorded_calls
from tests.support.recipes import shipped

pytestmark = pytest.mark.golden

THREE_STEPS = {"steps": 3, "timesteps": [799, 499, 199], "inversion.noise_timesteps": [599, 299, 0]}
"""As configs/turboedit.yaml says."""

OVERRIDES = {"turbo4": {}, "turbo3": THREE_STEPS, "turbo4_w1": {"guidance": 1.0}}

# The recordings' own recommendation: about ten times what z0's rounding errors do.
FINAL_MAX, FINAL_RMS, NOISED, BETWEEN = 2e-4, 3e-5, 1e-4, 3e-4
NORMS, COEFFICIENTS = 1e-2, 1e-5


@dataclass
class Edit:
    """An edit beside its recording; ``rows``: evaluations that it took; ``calls``: time, latents and
    output of each call of the UNet."""

    recording: Any
    combination: Combination
    model: Any
    sample: Any
    final: torch.Tensor
    inverted: InversionResult
    rows: int
    calls: list[tuple[float, torch.Tensor, torch.Tensor]]

    @property
    def guided(self):
        return self.combination.common.guidance != 1


@pytest.fixture(scope="module")
def model(golden_flow_c):
    return load_model(str(golden_flow_c / "tiny-sdxl"))


@pytest.fixture(
    scope="module",
    params=[
        ("turbo4", "case1"),
        ("turbo3", "case2"),
        *(
            pytest.param(pair, marks=pytest.mark.slow)
            for pair in (("turbo4", "case2"), ("turbo3", "case1"), ("turbo4_w1", "case1"))
        ),
    ],
    ids="-".join,
)
def edit(request, golden_flow_c, model):
    name, case = request.param
    overrides = {"model": str(golden_flow_c / "tiny-sdxl"), **OVERRIDES[name]}
    combination = shipped("turboedit", overrides).combination("turboedit", "plain")
    recording = np.load(golden_flow_c / "npz" / f"{name}__{case}.npz")
    sample = load_flow_case(golden_flow_c, case)
    model.cache, model.evaluations = Cache({}), EvaluationCounter()
    with recorded_calls(model) as calls:
        final, _ = edit_latents(model, [sample], combination)
    rows = model.evaluations.forward[0]
    inverted = invert(model, sample, combination)
    return Edit(recording, combination, model, sample, final, inverted, rows, calls)


def invert(model, sample, combination, **settings):
    chosen = combination.inversion_settings.model_copy(update=settings)
    common = combination.common
    inputs = encode_inputs(model, [sample], common.resolution, None, common.image_loader, seed=common.seed)
    return INVERSIONS.get("turboedit").invert(model, inputs, plan_schedule(model, common), chosen)


def near(found, recorded, tolerance):
    np.testing.assert_allclose(found, recorded, rtol=0, atol=tolerance)


def test_edited_latents_and_picture(edit):
    check_final(edit.final, edit.recording, FINAL_MAX, FINAL_RMS)
    recorded = edit.recording["edited_image_crop"].astype(int)
    vae = edit.model.vae
    with torch.no_grad():
        decoded = vae.decode(edit.final / vae.config.scaling_factor).sample[0, :, 192:320, 192:320]
    # The recording's grey levels are rounded, as the recipe says; PIE-Bench's own scripts truncate them.
    rounded = (255 * (decoded / 2 + 0.5).clamp(0, 1)).round().permute(1, 2, 0).numpy()
    apart = np.abs(rounded - recorded)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.01
    by_recipe = edit.model.decode_latents(edit.final, whole=edit.combination.common.grey_levels)
    np.testing.assert_array_equal(by_recipe[0, 192:320, 192:320], rounded)
    saved = edit.model.decode_latents(edit.final)[0, 192:320, 192:320]
    assert np.abs(saved - recorded).max() <= 1


def test_the_source_is_noised_to_the_shifted_levels(edit):
    picture, last, *noised = edit.inverted.trajectory
    assert torch.equal(picture, last)
    if "z0" in edit.recording:
        near(picture, edit.recording["z0"], NOISED)
    if "x_ts" in edit.recording:
        near(torch.cat(noised[::-1]), edit.recording["x_ts"], NOISED)


def test_noise_maps_and_the_limit_of_the_last(edit):
    """Unlimited maps cost nothing more: the limit is not in the cache."""
    edit.model.evaluations = EvaluationCounter()
    maps = invert(edit.model, edit.sample, edit.combination, max_norm=None).offsets[:, 0]
    assert edit.model.evaluations.reused[0] == edit.model.evaluations.forward[0] == len(maps)
    near(maps.flip(0)[..., ::4, ::4], edit.recording["z_maps_strided"], BETWEEN)
    if "z_last" in edit.recording:
        near(maps[:1], edit.recording["z_last"], BETWEEN)
    norms = maps.flip(0).flatten(1).norm(dim=1)
    near(norms, edit.recording["norms"], NORMS)
    limited = edit.inverted.offsets[:, 0].flip(0).flatten(1).norm(dim=1)
    near(limited / norms, edit.recording["norm_coefs"], COEFFICIENTS)


def test_every_call_of_the_unet(edit):
    """The source's come first, from the picture; each is one row. Then two rows per step, or one unguided."""
    steps = edit.combination.common.steps
    of_source, of_target = edit.calls[steps - 1 :: -1], edit.calls[steps:]
    assert len(of_target) == steps
    assert (
        [time for time, *_ in of_source]
        == [time for time, *_ in of_target]
        == edit.recording["unet_t"].tolist()
    )
    ours = [[0]] + ([[1, 2]] if edit.guided else [[2]])  # rows of the recording
    for step, parts in enumerate(zip(of_source, of_target, strict=True)):
        for (_, latents, output), rows in zip(parts, ours, strict=True):
            near(latents[..., ::4, ::4], edit.recording["unet_in_strided"][step, rows], BETWEEN)
            near(output[..., ::4, ::4], edit.recording["unet_out_strided"][step, rows], BETWEEN)


def test_latents_after_each_step(edit):
    """Row 2 of the recording is the result; the network is given it in the next step."""
    after = [latents[-1] for _, latents, _ in edit.calls[edit.combination.common.steps + 1 :]] + [
        edit.final[0]
    ]
    near(torch.stack(after)[..., ::4, ::4], edit.recording["step_out_strided"][:, 2], BETWEEN)


def test_it_takes_as_many_evaluations_as_the_published_code(edit):
    # Without pseudo-guidance nobody reads the source prompt's prediction on the target's latent.
    unread = 0 if edit.guided else edit.combination.common.steps
    assert edit.rows == sum(len(latents) for _, latents, _ in edit.calls) == edit.recording["rows"] - unread

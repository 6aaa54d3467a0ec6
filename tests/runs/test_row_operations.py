"""The share of whole rows' operations that a dry run foretells is the one that an edit computes."""

import json

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from piebench_eval.models import onednn
from piebench_eval.models.sd1 import StableDiffusion
from piebench_eval.models.sdxl import StableDiffusionXL
from piebench_eval.models.text_projections import RememberingLinear
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents
from piebench_eval.runs.forecast import count_evaluations, forecast
from piebench_eval.runs.row_operations import RowOperations
from piebench_eval.runs.store.folder import Scan
from tests.support.commands import piebench

PNP = {"first_attention_layer": 4, "attention_steps": 0.4}
MASACTRL = {"start_step": 1, "start_layer": 4}


def recipe_of(model, method, settings, inversion="direct"):
    fields = {"model": str(model), "inversions": [inversion], "methods": {method: settings}, "steps": 3}
    return build_recipe(fields, {}, "test")


def foretold(recipe, sample):
    (cost,) = count_evaluations(recipe, [sample], operations=True).values()
    return 1 - cost.unread / cost.total


def counted(model, recipe, sample, monkeypatch, kind):
    """Operations of all calls of the UNet in an edit; attention is taken apart into products for it."""
    operations, denoise = [], kind.denoise

    def watched(self, *inputs):
        with FlopCounterMode(display=False) as counter:
            output = denoise(self, *inputs)
        operations.append(counter.get_total_flops())
        return output

    with monkeypatch.context() as patch, sdpa_kernel(SDPBackend.MATH):
        patch.setattr(kind, "denoise", watched)
        patch.setattr(onednn, "_applies", lambda tensor: False)  # whose operations are not counted
        # Texts are projected in every step, as they are without a memory, which is no row's.
        patch.setattr(RememberingLinear, "forward", torch.nn.Linear.forward)
        edit_latents(model, [sample], recipe.combination(*recipe.pairs[0]))
    return sum(operations)


@pytest.mark.parametrize(
    ("family", "method", "settings"),
    [
        ("sd1", "pnp", PNP),
        pytest.param("sd1", "plain", {}, marks=pytest.mark.slow),  # both halves of the target begin as one
        pytest.param("sd1", "masactrl", MASACTRL, marks=pytest.mark.slow),
        pytest.param("sdxl", "masactrl", MASACTRL, marks=pytest.mark.slow),
    ],
)
def test_the_foretold_share_is_computed(model_of, request, samples, monkeypatch, family, method, settings):
    model, kind = model_of(family), StableDiffusionXL if family == "sdxl" else StableDiffusion
    folder = request.getfixturevalue("tiny_model" if family == "sd1" else f"tiny_{family}")
    recipe = recipe_of(folder, method, settings)
    ended = counted(model, recipe, samples[0], monkeypatch, kind)
    monkeypatch.setattr(kind, "row_places", lambda self: [])
    whole = counted(model, recipe, samples[0], monkeypatch, kind)
    share = foretold(recipe, samples[0])
    assert ended / whole == pytest.approx(share, rel=1e-9)
    assert share < 0.99


def test_rows_that_go_to_the_end_are_whole(tiny_model, tiny_sd3, samples):
    everywhere = {"self_replace_downsampling": 1, "self_replace_steps": 1.0}
    assert foretold(recipe_of(tiny_model, "p2p", everywhere, "ddim"), samples[0]) == 1
    assert foretold(recipe_of(tiny_model, "proximal", everywhere), samples[0]) == 1
    assert foretold(recipe_of(tiny_sd3, "masactrl", {"start_step": 1}), samples[0]) == 1


def test_the_later_a_row_ends_the_more_of_it_is_computed(tiny_model):
    config = json.loads((tiny_model / "unet/config.json").read_text())
    operations = RowOperations(config, 16)
    shares = [*operations.ended.values()]
    assert shares == sorted(set(shares)) and shares[0] > 0 and shares[-1] < 1
    for place, share in operations.ended.items():
        assert (operations.passed[place] > share) is (".attn" in place)


def test_nothing_is_claimed_of_a_model_that_is_not_here(samples):
    recipe = recipe_of("stable-diffusion-v1-5/stable-diffusion-v1-5", "pnp", {})
    (found,) = forecast(recipe, [samples[0]], Scan())
    assert found.operations is None


def test_the_dry_run_prints_the_share(tiny_model, photo_bench, tmp_path):
    command = ["run", "--data", photo_bench, "--model", tiny_model, "--out", tmp_path / "run", "--dry-run"]
    command += ["--inversion", "direct", "--method", "pnp", "--steps", "5"]
    told = piebench(*command).stdout
    assert "oper-" in told and "%" in told
    assert "a row ends behind the last layer that is read of it" in " ".join(told.split())

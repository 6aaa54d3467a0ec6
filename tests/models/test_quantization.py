"""Weights of 8 and 4 bits: which layers have them, how many bytes they take, how near their pictures are."""

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch import nn

from piebench_eval.errors import PiebenchError
from piebench_eval.models import loading, quantization
from piebench_eval.models.base import HOST
from piebench_eval.models.loading import load_model
from piebench_eval.models.quantization import blocks_of, quantize_blocks
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.jobs import model_specs
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.session_log import read_sessions
from tests.runs.test_combinations import run as edited
from tests.support.runs import run

META = torch.device("meta")
LAYERS = {"sd3": 39, "flux": 26}
NEAR = {"int8": 0.05, "nf4": 0.5}
"""Root mean square of what edits are off, in standard deviations of the edit; two unrelated ones are 1.4."""


@pytest.fixture(scope="module")
def quantized(request):
    """A function that gives a family's small model with quantised weights."""
    pytest.importorskip("torchao")
    loaded = {}

    def load(family, weights):
        if (family, weights) not in loaded:
            folder = str(request.getfixturevalue(f"tiny_{family}"))
            loaded[family, weights] = load_model(folder, weights=weights)
        return loaded[family, weights]

    return load


def linear_layers(denoiser):
    return [layer for layer in denoiser.modules() if isinstance(layer, nn.Linear)]


def size(tensor):
    """Bytes of a tensor, or of all the tensors that a quantised one consists of."""
    if isinstance(tensor.data, torch.Tensor) and hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        return sum(size(getattr(tensor, name)) for name in names)
    return tensor.numel() * tensor.element_size()


@pytest.mark.parametrize("weights", ["int8", "nf4"])
@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_every_linear_layer_of_the_blocks_and_no_other_is_quantised(quantized, model_of, family, weights):
    denoiser, whole = quantized(family, weights).denoiser, model_of(family).denoiser
    of_blocks = [layer for block in blocks_of(denoiser) for layer in linear_layers(block)]
    found = [layer for layer in linear_layers(denoiser) if hasattr(layer.weight, "__tensor_flatten__")]
    assert len(found) == len(of_blocks) == LAYERS[family] and set(found) == set(of_blocks)
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())
    for name, parameter in whole.named_parameters():
        mine = denoiser.get_parameter(name)
        assert mine.shape == parameter.shape and mine.dtype == parameter.dtype
        if not hasattr(mine, "__tensor_flatten__"):
            assert torch.equal(mine, parameter), name


@pytest.mark.parametrize("weights", ["int8", "nf4"])
@pytest.mark.parametrize(
    ("family", "inversion", "method"),
    [
        ("sd3", "direct", "value_sharing"),
        ("flux", "fireflow", "feature_sharing"),
        pytest.param("sd3", "euler", "p2p", marks=pytest.mark.slow),
        pytest.param("flux", "flowedit", "plain", marks=pytest.mark.slow),
        pytest.param("flux", "direct", "value_sharing", marks=pytest.mark.slow),
    ],
)
def test_edits_are_near_those_of_full_weights(
    quantized, model_of, samples, family, inversion, method, weights
):
    """Hooks of attention, and what they share, work on quantised layers."""
    exact, *_ = edited(model_of(family), samples[:1], inversion, method, guidance=2.0)
    found, *_ = edited(quantized(family, weights), samples[:1], inversion, method, guidance=2.0)
    off = (found - exact).square().mean().sqrt() / exact.std()
    assert 0 < off < NEAR[weights]


@pytest.mark.parametrize(("weights", "bytes_each"), [("int8", 1), ("nf4", 0.5 + 1 / 64)])
def test_a_block_of_flux_takes_a_half_or_a_quarter_of_bfloat16(weights, bytes_each):
    """At FLUX.1's width, on a device without numbers; nearly all of its 12 billion weights are in blocks."""
    pytest.importorskip("torchao")
    with META:
        denoiser = FluxTransformer2DModel(num_layers=1, num_single_layers=1).to(torch.bfloat16)
    quantize_blocks(denoiser.requires_grad_(False), weights, META)
    for layer in (layer for block in blocks_of(denoiser) for layer in linear_layers(block)):
        assert (
            layer.weight.numel() * bytes_each <= size(layer.weight) < layer.weight.numel() * bytes_each * 1.01
        )


def test_layers_that_nf4_does_not_fit_are_named():
    pytest.importorskip("torchao")
    denoiser = nn.Module()
    denoiser.transformer_blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 9))])
    with pytest.raises(PiebenchError, match=r"weights=nf4: 1 has 72 weights, .* set weights=int8"):
        quantize_blocks(denoiser, "nf4", HOST)


def test_a_device_has_one_whole_block_at_a_time(tiny_flux, monkeypatch):
    pytest.importorskip("torchao")
    places, weights_of = {}, loading._Parts.weights

    def noted(self, name, device, dtype):
        places[name] = device
        return weights_of(self, name, HOST, dtype)

    monkeypatch.setattr(loading._Parts, "weights", noted)
    denoiser = load_model(str(tiny_flux), device=META, weights="int8", precision="bf16").denoiser
    assert places["transformer"] == HOST and places["vae"] == META
    assert {parameter.device for parameter in denoiser.parameters()} == {META}


def recipe_of(folder, **fields):
    fields = {"model": str(folder), "inversions": ["euler"], "methods": ["plain"], "steps": 1, **fields}
    return build_recipe({"guidance": 1, **fields}, {}, "test")


def test_they_are_of_the_recipe_and_in_the_record(tiny_flux, photo_bench, tmp_path):
    torchao = pytest.importorskip("torchao")
    full, chosen = recipe_of(tiny_flux), recipe_of(tiny_flux, weights="int8")
    assert full.hash == recipe_of(tiny_flux, weights="full").hash != chosen.hash
    assert model_specs(full) != model_specs(chosen)
    run(chosen, photo_bench, tmp_path / "run", Selection(limit=1))
    (session,) = read_sessions(tmp_path / "run")
    assert [worker["torchao"] for worker in session["workers"].values()] == [torchao.__version__]
    assert RunStore.read(tmp_path / "run").recipe.settings("euler", "plain")["weights"] == "int8"


def test_nothing_is_quantised_by_default(tiny_flux, monkeypatch):
    monkeypatch.setattr(loading, "quantize_blocks", None)
    monkeypatch.setattr(quantization, "find_spec", None)
    assert load_model(str(tiny_flux)).denoiser is not None


def refusal(recipe, data, out, **machine):
    with pytest.raises(PiebenchError) as refused:
        plan_run(recipe, data, out, Selection(limit=1), MachineOptions(devices="cpu", **machine))
    return str(refused.value)


def test_a_missing_library_is_named_before_weights_are_read(tiny_flux, photo_bench, tmp_path, monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    monkeypatch.setattr(loading._Parts, "weights", None)
    said = refusal(recipe_of(tiny_flux, weights="nf4"), photo_bench, tmp_path / "run")
    assert "weights=nf4: needs torchao" in said and "pip install 'piebench-eval[quantize]'" in said
    with pytest.raises(PiebenchError, match="needs torchao"):
        load_model(str(tiny_flux), weights="nf4")


def test_unets_and_deterministic_layers_are_refused(
    tiny_model, tiny_flux, photo_bench, tmp_path, monkeypatch
):
    monkeypatch.setattr(quantization, "find_spec", lambda name: object())
    out = tmp_path / "run"
    of_unet = refusal(recipe_of(tiny_model, inversions=["ddim"], weights="int8"), photo_bench, out)
    assert of_unet == (
        "ddim+plain: weights=int8: is for the blocks of transformers, and Stable Diffusion 1.x has a UNet; "
        "leave it at full"
    )
    with pytest.raises(PiebenchError, match="leave it at full"):
        load_model(str(tiny_model), weights="int8")
    said = refusal(recipe_of(tiny_flux, weights="int8"), photo_bench, out, deterministic=True)
    assert said.startswith("--deterministic: has layers for weights=full only, not for int8")

"""Text encoders leave the device before the denoiser is called, and come back for a new prompt alone."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from piebench_eval.models import loading
from piebench_eval.models.base import HOST
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model, offloads_text_encoders
from tests.runs.test_combinations import STEPS, run

DEVICE = torch.device("cpu", 0)
"""Stands for a GPU: PyTorch tells it from the CPU, and computes on it."""


class Encoder:
    """A text encoder that notes where it is moved, and refuses to work anywhere but on the device."""

    def __init__(self, network, moves):
        self.network, self.moves, self.device = network, moves, HOST

    def to(self, device):
        self.device = device
        self.moves.append(device)

    def __call__(self, *arguments, **options):
        assert self.device == DEVICE, "called on the CPU"
        return self.network(*arguments, **options)


@pytest.fixture(params=["sd1", "sdxl", "sd3", "flux"])
def whole(request, model_of):
    """A model as it is loaded by default."""
    return model_of(request.param)


def offloaded(whole):
    """The same with text encoders that are offloaded, and the list of their moves."""
    moves = []
    encoders = {name: Encoder(network, moves) for name, network in whole.text_encoders.items()}
    return replace(whole, device=DEVICE, offload_text_encoders=True, cache=Cache({}), **encoders), moves


def test_they_are_on_the_cpu_while_the_denoiser_works(whole, samples, monkeypatch):
    method = "pnp" if "self" in whole.family.attention else "plain"
    model, moves = offloaded(whole)
    denoise, seen = model.denoise, []

    def watched(*arguments):
        seen.extend(encoder.device for encoder in model.text_encoders.values())
        return denoise(*arguments)

    monkeypatch.setattr(model, "denoise", watched)
    edits, *_ = run(model, samples[:2], "direct", method)
    assert set(seen) == {HOST} and len(seen) >= 2 * STEPS, "there and back"
    of_each = len(model.text_encoders)
    assert moves == [DEVICE] * of_each + [HOST] * of_each, "once for all prompts of a batch"
    expected, *_ = run(replace(whole, cache=Cache({})), samples[:2], "direct", method)
    assert torch.equal(edits, expected)


def test_known_prompts_move_nothing_and_new_ones_do(whole, samples):
    model, moves = offloaded(whole)
    known = model.embed_prompts(["a cat"])
    model.predict(torch.zeros(1, whole.family.latent_channels, 16, 16), 1, known, [0])
    moves.clear()
    assert model.embed_prompts(["a cat", "a cat"]).take([1]).equals(known)
    assert moves == []
    new = model.embed_prompts(["a dog"])
    assert moves == [DEVICE] * len(model.text_encoders)
    assert new.equals(whole.embed_prompts(["a dog"]))


def test_without_offloading_nothing_moves(whole):
    moves = []
    encoders = {name: Encoder(network, moves) for name, network in whole.text_encoders.items()}
    for encoder in encoders.values():
        encoder.device = DEVICE
    model = replace(whole, device=DEVICE, **encoders)
    latents = torch.zeros(1, whole.family.latent_channels, 16, 16)
    model.predict(latents, 1, model.embed_prompts(["a cat"]), [0])
    assert moves == []


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_real_encoders_can_be_moved(request, family):
    """To a device without numbers and back: that the libraries' own classes have what is asked of them."""
    model = load_model(str(request.getfixturevalue(f"tiny_{family}")))
    model.offload_text_encoders = True
    model.place_text_encoders(torch.device("meta"))
    assert {encoder.device.type for encoder in model.text_encoders.values()} == {"meta"}
    assert model.denoiser.device.type == model.vae.device.type == "cpu"


@pytest.mark.parametrize(
    ("gigabytes", "asked", "expected"),
    [
        (16, None, True),
        (25.3, None, False),
        (80, None, False),
        (16, False, False),
        (80, True, True),
    ],
)
def test_small_gpus_offload_by_default(monkeypatch, gigabytes, asked, expected):
    about = SimpleNamespace(total_memory=int(gigabytes * 10**9))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: about)
    assert offloads_text_encoders(torch.device("cuda:0"), asked) is expected
    for other in ("cpu", "mps"):
        assert offloads_text_encoders(torch.device(other), asked) is False


def test_they_are_loaded_to_the_cpu_in_the_first_place(tiny_sdxl, monkeypatch):
    places = {}
    weights = loading._Parts.weights

    def noted(self, name, device, dtype):
        places[name] = device
        return weights(self, name, HOST, dtype)

    monkeypatch.setattr(loading._Parts, "weights", noted)
    monkeypatch.setattr(loading, "offloads_text_encoders", lambda device, asked: asked)
    model = load_model(str(tiny_sdxl), device=DEVICE, offload_text_encoders=True)
    assert model.offload_text_encoders
    assert {name for name, place in places.items() if place == HOST} == set(model.text_encoders)
    assert set(places) == set(model.family.weights)

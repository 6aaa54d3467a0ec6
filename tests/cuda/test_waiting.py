"""No step waits for the device: there, PyTorch raises wherever the host would.

``tests/runs/test_on_a_gpu.py`` shows the same of every combination without a GPU.
"""

from contextlib import contextmanager

import pytest
import torch

from piebench_eval.models.loading import load_model
from piebench_eval.models.sd1 import StableDiffusion
from piebench_eval.runs.batch_editing import edit_latents
from tests.support.recipes import shipped

pytestmark = pytest.mark.cuda

STEPS = 6
"""Two more than MasaCtrl leaves alone."""


@contextmanager
def waits_forbidden(model, monkeypatch):
    """From the model's second call on; yields a list with an entry per call."""
    predict, calls = model.predict, []

    def forbidding(*arguments):
        if calls and model.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("error")
        calls.append(arguments)
        return predict(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(model, "predict", forbidding)
        try:
            yield calls
        finally:
            if model.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")


def edited(device, folder, samples, recipe, pair, monkeypatch):
    """Edited latents, made with waits forbidden, and how often the model was called."""
    settings = {"model": folder, "steps": STEPS, "resolution": 128, "precision": "bf16"}
    chosen = shipped(recipe, {**settings, **OF_RECIPES.get(recipe, {})}).combination(*pair.split("+"))
    model = load_model(folder, device=device, precision="bf16")  # without a cache, whose keys are on the host
    with waits_forbidden(model, monkeypatch) as calls:
        latents, _ = edit_latents(model, samples, chosen)
    return latents, len(calls)


OF_RECIPES = {"flowedit-sd3": {"inversion.flowedit.n_max": STEPS}}
EDITS = [
    ("table1", "direct+p2p", "tiny_model"),
    ("table1", "direct+pnp", "tiny_model"),
    ("table1", "direct+masactrl", "tiny_model"),
    ("table1", "ddim+p2p", "tiny_model"),
    ("table1", "edit_friendly+p2p", "tiny_model"),
    ("flowedit-sd3", "flowedit+plain", "tiny_sd3"),
]


@pytest.mark.parametrize(("recipe", "pair", "model"), EDITS)
def test_no_step_waits_for_the_device(device, samples, recipe, pair, model, request, monkeypatch):
    folder = str(request.getfixturevalue(model))
    latents, calls = edited(device, folder, samples[:2], recipe, pair, monkeypatch)
    assert calls > STEPS  # those of the inversion, and of the edit
    assert latents.isfinite().all()


WAITING = {
    "a number": lambda states: states.sum().item(),
    "a list as an index": lambda states: states[[1, 0]],
    "reading by a mask": lambda states: states[states > 0],
    "writing by a mask": lambda states: states.clone().index_put_((states > 0,), states[states > 0]),
    "a copy to the host": lambda states: states.cpu(),
}


@pytest.mark.parametrize("waiting", WAITING.values(), ids=WAITING)
def test_waiting_is_noticed(card, tiny_model, samples, monkeypatch, waiting):
    predict = StableDiffusion.predict

    def wait_and_predict(model, *arguments):
        waiting(torch.ones(2, 2, device=card))
        return predict(model, *arguments)

    monkeypatch.setattr(StableDiffusion, "predict", wait_and_predict)
    with pytest.raises(RuntimeError, match="synchronizing"):
        edited(card, str(tiny_model), samples[:1], "table1", "direct+p2p", monkeypatch)

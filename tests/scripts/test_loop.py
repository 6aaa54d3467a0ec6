import numpy as np
import pytest
import torch

from scripts.demo_training import loop


def training(model, steps=8):
    def loss(rng):
        inputs = torch.from_numpy(rng.normal(size=(4, 3))).float()
        return (model(inputs) + torch.randn(4, 1)).square().mean()

    return loop.Training("line", [(model, 1e-2)], loss, steps, seed=7)


def new_model():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 1)


def train(folder, stop_at=None):
    model = new_model()
    plan = training(model)
    if stop_at is not None:
        calls = iter(range(stop_at))

        def interrupted(rng, loss=plan.loss):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return loss(rng)

        object.__setattr__(plan, "loss", interrupted)
    loop.train(plan, folder, torch.device("cpu"))
    return model.weight.detach().numpy()


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SAVE_EVERY", 2)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop_at=5)
    np.testing.assert_array_equal(train(tmp_path / "parts"), whole)


def test_training_moves_the_weights_and_logs(tmp_path):
    trained = train(tmp_path)
    assert not np.array_equal(trained, new_model().weight.detach().numpy())
    assert '"of": 8' in (tmp_path / "line.log").read_text()

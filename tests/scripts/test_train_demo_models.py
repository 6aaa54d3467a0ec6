"""The whole training, for two steps each: what it writes, and that a second session finds it."""

import pytest

from piebench_eval.demo import embedded
from scripts import train_demo_models
from scripts.demo_training import autoencoder, clip, flow, package, squeezenet, structure_vit, unet


@pytest.fixture
def a_short_training(monkeypatch, tmp_path):
    for module in (autoencoder, clip, flow, squeezenet, structure_vit, unet):
        monkeypatch.setattr(module, "STEPS", 2)
        monkeypatch.setattr(module, "BATCH", 4)
        if module is not flow:
            monkeypatch.setattr(module, "PICTURES", 16)
    monkeypatch.setattr(flow, "COMPILED", False)
    weights = tmp_path / "weights"
    monkeypatch.setattr(embedded, "WEIGHTS", weights)
    monkeypatch.setattr(package, "WEIGHTS", weights)
    monkeypatch.setattr(train_demo_models, "measure", dict)
    monkeypatch.setattr(train_demo_models, "load_flow", lambda: None)
    monkeypatch.setattr(train_demo_models, "measure_flow", lambda model: ({}, []))
    monkeypatch.setattr(train_demo_models, "write_card", lambda measured, right, inverted, size: None)
    monkeypatch.setattr(train_demo_models, "write_edits_sheet", lambda: None)
    return weights


def test_training_writes_a_model_that_loads_and_goes_on_where_it_was(a_short_training, tmp_path):
    from piebench_eval.models.loading import load_model

    work = tmp_path / "work"
    train_demo_models.main(work, device="cpu", processes=1)
    assert load_model("demo").native_resolution == 64
    assert load_model(str(a_short_training / package.FLOW_FOLDER), t5_length=1).native_resolution == 64
    assert 20e6 < sum(file.stat().st_size for file in a_short_training.rglob("*") if file.is_file()) < 30e6
    logs = {log.name: log.read_text() for log in work.glob("*.log")}
    assert len(logs) == 6
    train_demo_models.main(work, device="cpu", processes=1)
    assert {log.name: log.read_text() for log in work.glob("*.log")} == logs
    unet_weights = (a_short_training / "stable_diffusion" / "unet" / "config.json").stat()
    other = tmp_path / "other"
    train_demo_models.main(other, device="cpu", only="flow")
    assert [log.name for log in other.glob("*.log")] == ["flow.log"]
    assert (a_short_training / "stable_diffusion" / "unet" / "config.json").stat() == unet_weights

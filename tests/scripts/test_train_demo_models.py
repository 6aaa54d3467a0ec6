"""The whole training, for two steps each: what it writes, and that a second session finds it."""

import pytest

from piebench_eval.demo import embedded
from scripts import train_demo_models
from scripts.demo_training import autoencoder, clip, package, squeezenet, structure_vit, unet


@pytest.fixture
def a_short_training(monkeypatch, tmp_path):
    for module in (autoencoder, clip, squeezenet, structure_vit, unet):
        monkeypatch.setattr(module, "STEPS", 2)
        monkeypatch.setattr(module, "BATCH", 4)
        monkeypatch.setattr(module, "PICTURES", 16)
    weights = tmp_path / "weights"
    monkeypatch.setattr(embedded, "WEIGHTS", weights)
    monkeypatch.setattr(package, "WEIGHTS", weights)
    monkeypatch.setattr(train_demo_models, "measure", dict)
    monkeypatch.setattr(train_demo_models, "write_card", lambda measured, size: None)
    monkeypatch.setattr(train_demo_models, "write_edits_sheet", lambda: None)
    return weights


def test_training_writes_a_model_that_loads_and_goes_on_where_it_was(a_short_training, tmp_path):
    from piebench_eval.models.loading import load_model

    work = tmp_path / "work"
    train_demo_models.main(work, device="cpu", processes=1)
    assert load_model("demo").native_resolution == 64
    assert 10e6 < sum(file.stat().st_size for file in a_short_training.rglob("*") if file.is_file()) < 16e6
    logs = {log.name: log.read_text() for log in work.glob("*.log")}
    assert len(logs) == 5
    train_demo_models.main(work, device="cpu", processes=1)
    assert {log.name: log.read_text() for log in work.glob("*.log")} == logs

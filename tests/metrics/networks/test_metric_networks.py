import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import OFFICIAL_NETWORKS, MetricModels
from piebench_eval.metrics.networks.metric_networks import MetricNetworks
from tests.support.edits import score_one


@pytest.mark.parametrize("role", OFFICIAL_NETWORKS)
@pytest.mark.parametrize("damage", ["missing", "garbage", "other architecture"])
def test_networks_that_cannot_be_loaded(metric_networks, tmp_path, role, damage, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = tmp_path / "network"
    if damage == "garbage":
        if role == "lpips_weights":
            place.write_bytes(b"garbage")
        else:
            place.mkdir()
            (place / "config.json").write_text('{"model_type": "clip"}')
            (place / "model.safetensors").write_bytes(b"garbage")
    if damage == "other architecture":
        place = metric_networks.clip if role == "dino" else metric_networks.dino
        place = f"{place}/model.safetensors" if role == "lpips_weights" else place
    models = MetricModels(**{**metric_networks.to_dict(), role: str(place)})
    with pytest.raises(PiebenchError, match=str(place)):
        MetricNetworks(models, torch.device("cpu")).load([role])


def test_bf16_is_near_and_not_equal(networks, metric_networks, picture, half_mask):
    lower = MetricNetworks(metric_networks, torch.device("cpu"), precision="bf16")
    columns = ("structure_distance", "lpips_unedit_part", "clip_directional_similarity")
    exact = score_one(networks, picture, half_mask, 255 - picture, columns=columns)
    rough = score_one(lower, picture, half_mask, 255 - picture, columns=columns)
    for column in columns:
        assert rough[column] == pytest.approx(exact[column], rel=0.1, abs=0.5), column
        assert rough[column] != exact[column], column

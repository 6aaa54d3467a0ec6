"""The metrics' networks by oneDNN's layers, on any processor."""

import pytest
import torch

from piebench_eval.metrics.networks.metric_networks import MetricNetworks
from piebench_eval.models import onednn
from piebench_eval.models.onednn import OneDnnLinear
from tests.support.edits import score_one


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN")
def test_scores_are_those_of_pytorchs_own_layers(metric_networks, picture, half_mask, monkeypatch):
    columns = ("structure_distance", "dino_similarity", "clip_similarity_target_image_edit_part")
    scores = []
    for is_faster in (True, False):
        monkeypatch.setattr(onednn, "onednn_is_faster", lambda is_faster=is_faster: is_faster)
        networks = MetricNetworks(metric_networks, torch.device("cpu"))
        scores.append(score_one(networks, picture, half_mask, 255 - picture, columns=columns))
        for network in (networks.dino._vit, networks.clip(None, "quick_gelu")._clip):
            is_replaced = [type(module) is OneDnnLinear for module in network.modules()]
            assert any(is_replaced) == is_faster
    for column in columns:
        assert scores[0][column] == pytest.approx(scores[1][column], rel=1e-4, abs=1e-6), column

"""Linear layers of the metrics' networks that oneDNN computes."""

import pytest
import torch
from torch import nn

from piebench_eval.metrics.networks.metric_networks import MetricNetworks
from piebench_eval.metrics.networks.onednn_linear import OneDnnLinear, compute_by_onednn
from tests.support.edits import score_one

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(1, 24), (3, 24), (2, 17, 24), (1, 1, 24)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_linear_layer_stays_what_it_was(shape, has_bias):
    layer, tokens = nn.Linear(24, 40, bias=has_bias), torch.randn(shape)
    exact = layer.double()(tokens.double()).float()
    replaced = OneDnnLinear(layer.float())
    with torch.inference_mode():
        torch.testing.assert_close(replaced(tokens), exact, atol=1e-6, rtol=1e-6)


def test_tokens_need_not_lie_one_behind_the_other():
    layer, tokens = nn.Linear(24, 40), torch.randn(2, 24, 17).transpose(1, 2)
    torch.testing.assert_close(OneDnnLinear(layer)(tokens), layer(tokens), atol=1e-6, rtol=1e-6)


def test_what_is_no_plain_linear_layer_of_float32_on_a_cpu_stays():
    network = nn.ModuleDict({"linear": nn.Linear(8, 8), "attention": nn.MultiheadAttention(8, 2)})
    compute_by_onednn(network, torch.device("cuda"), "fp32")
    compute_by_onednn(network, CPU, "bf16")
    assert type(network["linear"]) is nn.Linear
    compute_by_onednn(network, CPU, "fp32")
    assert type(network["linear"]) is OneDnnLinear
    assert type(network["attention"].out_proj) is not OneDnnLinear
    tokens = torch.randn(3, 1, 8)
    network["attention"](tokens, tokens, tokens)


def test_scores_are_those_of_pytorchs_own_layers(metric_networks, picture, half_mask, monkeypatch):
    columns = ("structure_distance", "dino_similarity", "clip_similarity_target_image_edit_part")
    scores = []
    for has_onednn in (True, False):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda has_onednn=has_onednn: has_onednn)
        networks = MetricNetworks(metric_networks, CPU)
        scores.append(score_one(networks, picture, half_mask, 255 - picture, columns=columns))
        for network in (networks.dino._vit, networks.clip(None, "quick_gelu")._clip):
            is_replaced = [type(module) is OneDnnLinear for module in network.modules()]
            assert any(is_replaced) == has_onednn
    for column in columns:
        assert scores[0][column] == pytest.approx(scores[1][column], rel=1e-4, abs=1e-6), column

"""Files that are edited while Python runs are read again."""

from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.protocol import PAPER, read_protocol
from piebench_eval.scoring.cache import ScoreSpec


def test_a_protocol_is_read_again(tmp_path):
    file = tmp_path / "protocol.yaml"
    for quality in (75, 90):
        file.write_text(f"pictures: {{jpeg: {quality}}}")
        assert read_protocol(str(file)).pictures.jpeg == quality


def test_a_network_is_looked_at_again(tmp_path):
    """Its scores are kept under the sizes and times of its files."""
    models = MetricModels(dino=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"1")
    before = ScoreSpec("structure_distance", PAPER, models, "fp32").fingerprint
    (tmp_path / "model.safetensors").write_bytes(b"trained further")
    assert ScoreSpec("structure_distance", PAPER, models, "fp32").fingerprint != before

import math

import pytest

import piebench_eval as pb
from piebench_eval.metrics.columns import COLUMNS
from scripts.speed.quality import metric_changes


@pytest.mark.slow
def test_bf16_changes_what_float32_does_not(tmp_path):
    pairs = [("direct", "p2p"), ("ddim", "pnp"), ("direct", "pnp")]
    changes = metric_changes("bf16", pairs, "cpu", limit=1, settings={"steps": 2})
    assert list(changes.index) == ["direct+p2p", "ddim+pnp", "direct+pnp"]
    row = changes.loc["direct+p2p"]
    assert all(math.isfinite(row[column, "float32"]) for column in COLUMNS)
    changed = [abs(row[column, "change"]) for column in COLUMNS]
    assert 0 < max(changed) < 1
    # The edits' scores alone; the demo scores yardsticks beside them.
    pb.run(tmp_path, inversion="direct", method="p2p", settings={"steps": 2}, limit=1, progress=False)
    scores = pb.score(tmp_path, progress=False).set_index("method").loc["p2p"]
    for column in COLUMNS:
        assert row[column, "float32"] == pytest.approx(scores[column])

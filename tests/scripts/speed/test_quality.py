import math

from piebench_eval.metrics.columns import COLUMNS
from scripts.speed.quality import metric_changes


def test_bf16_changes_what_float32_does_not():
    changes = metric_changes("bf16", [("direct", "p2p")], "cpu", limit=1, settings={"steps": 2})
    row = changes.loc["direct+p2p"]
    assert all(math.isfinite(row[column, "float32"]) for column in COLUMNS)
    changed = [abs(row[column, "change"]) for column in COLUMNS]
    assert 0 < max(changed) < 1

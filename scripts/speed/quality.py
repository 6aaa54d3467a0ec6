"""What a precision does to the metrics: the embedded world, edited and scored in float32 and in it."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import piebench_eval as pb
from piebench_eval.metrics.columns import COLUMNS


def metric_changes(
    precision: str,
    pairs: Sequence[tuple[str, str]],
    device: str,
    limit: int = 10,
    settings: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Means of every metric in float32 and what the precision adds to them, a row per combination.

    Args:
        precision: as of ``piebench run``.
        pairs: inversions and methods.
        device: as of ``piebench run``.
        limit: pictures of the demo benchmark.
        settings: further fields of the recipe.
    """
    rows = {}
    for pair in pairs:
        exact, other = (_scores(name, pair, device, limit, settings or {}) for name in ("fp32", precision))
        finite = np.isfinite(exact) & np.isfinite(other)  # identical pictures have no PSNR
        exact, other = exact.where(finite), other.where(finite)
        rows["+".join(pair)] = pd.concat({"float32": exact.mean(), "change": (other - exact).mean()})
    return pd.DataFrame(rows).T.swaplevel(axis=1)


def _scores(
    precision: str, pair: tuple[str, str], device: str, limit: int, settings: Mapping[str, Any]
) -> pd.DataFrame:
    """The official columns of every picture, by its id."""
    inversion, method = pair
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = {**settings, "precision": precision}
        pb.run(
            run,
            inversion=inversion,
            method=method,
            settings=settings,
            limit=limit,
            devices=device,
            progress=False,
        )
        return pb.score(run, device=device, progress=False).set_index("id")[list(COLUMNS)]

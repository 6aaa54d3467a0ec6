"""Effect of a precision on the metrics: the demo edited and scored in it and in float32."""

import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
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
    exact, other = (_scores(name, pairs, device, limit, settings or {}) for name in ("fp32", precision))
    finite = np.isfinite(exact) & np.isfinite(other)  # identical pictures have no PSNR
    exact, other = exact.where(finite), other.where(finite)
    found = pd.concat({"float32": exact, "change": other - exact}, axis=1)
    means = found.groupby(level=["inversion", "method"]).mean().loc[list(pairs)]
    means.index = pd.Index(["+".join(pair) for pair in pairs])
    return means.swaplevel(axis=1)


def _scores(
    precision: str, pairs: Sequence[tuple[str, str]], device: str, limit: int, settings: Mapping[str, Any]
) -> pd.DataFrame:
    """The official columns of every picture, by inversion, method and id."""
    frames = []
    for inversion, of_inversion in groupby(sorted(pairs), key=itemgetter(0)):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            pb.run(
                run,
                inversion=inversion,
                method=[method for _, method in of_inversion],
                settings={**settings, "precision": precision},
                limit=limit,
                devices=device,
                progress=False,
            )
            frames.append(pb.score(run, device=device, progress=False))
    return pd.concat(frames).set_index(["inversion", "method", "id"])[list(COLUMNS)]

"""Score pictures of a pack again, with the networks at hand."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.combination_names import combination_name
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.demo.embedded import is_embedded
from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.metric_models import OPEN_CLIP, MetricModels
from piebench_eval.models.hub import looks_like_hub_id
from piebench_eval.packs.levels import Check, Level
from piebench_eval.packs.means import is_edited
from piebench_eval.packs.tolerances import TOLERANCES, WITHOUT_NETWORKS
from piebench_eval.runs.store.paths import BENCHMARK_FOLDER
from piebench_eval.scoring.evaluation_set import evaluation_set_of_run
from piebench_eval.scoring.score import Scoring
from piebench_eval.scoring.scores_file import score_images
from piebench_eval.tables.layout import metrics_in
from piebench_eval.tables.provenance import protocol_of
from piebench_eval.tables.scores import read_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from piebench_eval.packs.checks import Pack
    from piebench_eval.packs.tolerances import Tolerance
    from piebench_eval.scoring.edited_images import EditedImage

_NAME = "pictures re-scored"
_SHOWN = 5
_KEYS = ["inversion", "method", "id"]


@dataclass(frozen=True)
class Rescoring:
    """How pictures are scored again.

    Attributes:
        sample: how many pictures, drawn at random; None for all, and the rows of references.
        seed: of the draw.
        networks: networks by role, in the place of those that the pack names.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch_size: pictures per forward pass; None for what suits the device.
        allow_pickle: accept networks in pickle files, of ``networks`` and of the metrics' own publishers.
    """

    sample: int | None
    seed: int
    networks: Mapping[str, str]
    device: str = "auto"
    batch_size: int | None = None
    allow_pickle: bool = False


def benchmark_of_pack(pack: Pack, data: Path | None) -> Path | None:
    """The benchmark folder for a pack: the given one, or, of a demo's run, the embedded one, which is drawn.

    None if the run's own name of it must do.
    """
    if data is None and is_embedded(pack.store.recipe.model):
        return embedded_benchmark(pack.store.folder / BENCHMARK_FOLDER)
    return data


def rescore(
    pack: Pack, how: Rescoring, data: Path | None, on_progress: Callable[[str, int, int], None]
) -> Check:
    """Score a sample of the pictures again, and compare with the scores in the pack.

    Args:
        pack: the pack.
        how: how many pictures, and by what.
        data: the benchmark folder; None for that of the demo, or the run's.
        on_progress: see ``score_images``.
    """
    if not pack.about["pictures"]:
        return Check(_NAME, Level.RESCORED, None, "the pictures are not in the pack")
    if pack.score_table.provenance.get("resized"):
        return Check(_NAME, Level.RESCORED, None, "the pictures were resized before they were scored")
    try:
        found = evaluation_set_of_run(pack.store.folder, benchmark_of_pack(pack, data))
    except PiebenchError as error:  # a benchmark that is named for the pack must be its own
        return Check(_NAME, Level.RESCORED, None if data is None else False, str(error))
    try:
        scoring = _scoring(pack, how.networks, how.allow_pickle)
        _load_networks(scoring, how.device)
    except PiebenchError as error:
        if how.networks:
            raise
        return Check(_NAME, Level.RESCORED, None, str(error))
    chosen = replace(found, edited_images=_draw(found.edited_images, how), missing=[])
    file = pack.store.folder / "rescored" / "scores.csv"
    try:
        score_images(chosen, scoring, on_progress, file, how.device, how.batch_size)
    except PiebenchError as error:
        return Check(_NAME, Level.RESCORED, False, str(error))
    return _compared(pack, read_scores(file), how)


def _scoring(pack: Pack, networks: Mapping[str, str], allow_pickle: bool) -> Scoring:
    """How the pack's scores were made, but for networks that are given here.

    Raises:
        PiebenchError: the pack names a network by its place on another machine, or one that could be a pickle
            of anybody's, or an invalid protocol.
    """
    provenance = pack.score_table.provenance
    name, protocol = protocol_of(provenance, "scores.json")
    known = MetricModels().to_dict(provenance["networks"])
    named = {role: str(provenance["networks"][role]) for role in known} | dict(networks)
    for role, network in named.items():
        if role not in networks and not _is_public(network, known[role]):
            raise PiebenchError(
                f"its {role} is {network}, on another machine; name it here: --{role.replace('_', '-')}"
            )
        if allow_pickle and role not in networks and network != known[role] and not is_embedded(network):
            raise PiebenchError(
                f"its {role} is {network}, and a pickle can run code; with --allow-pickle, name it yourself "
                f"if you trust it: --{role.replace('_', '-')} {network}"
            )
    columns = tuple(metric.column for metric in metrics_in(pack.score_table.rows.columns))
    precision = str(provenance.get("precision", "fp32"))
    return Scoring(
        replace(MetricModels(), **named), name, protocol, columns, precision, allow_pickle=allow_pickle
    )


def _is_public(network: str, default: str) -> bool:
    """Whether a network's name means the same on every machine."""
    pretrained = network.startswith(OPEN_CLIP) and "local-dir:" not in network
    local = network.startswith((".", "/", "~")) or Path(network).exists()
    return (
        network == default or is_embedded(network) or pretrained or (looks_like_hub_id(network) and not local)
    )


def _load_networks(scoring: Scoring, device: str) -> None:
    """Load the networks before, so that one that is not at hand is told from a picture without a score."""
    roles = {role for column in scoring.columns for role in METRICS.get(column).networks}
    scoring.networks(device).load(sorted(roles), scoring.protocol)


def _draw(edited_images: list[EditedImage], how: Rescoring) -> list[EditedImage]:
    """The pictures to score, in their order: a sample of the edits, or everything."""
    if how.sample is None:
        return edited_images
    edits = [
        place
        for place, each in enumerate(edited_images)
        if is_edited(each.labels["inversion"], each.labels["method"])
    ]
    drawn = random.Random(how.seed).sample(edits, min(how.sample, len(edits)))
    return [edited_images[place] for place in sorted(drawn)]


def _compared(pack: Pack, found: pd.DataFrame, how: Rescoring) -> Check:
    """Compare scores with those in the pack."""
    metrics = metrics_in(found.columns)
    given = pack.score_table.rows.set_index(_KEYS).loc[list(found[_KEYS].itertuples(index=False, name=None))]
    theirs, ours = (
        np.column_stack([rows[metric.column].to_numpy(dtype=float) * metric.scale for metric in metrics])
        for rows in (given, found)
    )
    named = (
        f"all {len(found)} rows"
        if how.sample is None
        else f"{len(found)} of {len(pack.records)} pictures, drawn with --seed {how.seed}"
    )
    pixels = np.array([not METRICS.get(metric.column).networks for metric in metrics])
    for tolerance in TOLERANCES:
        if _held(tolerance, theirs, ours, pixels).all():
            return Check(_NAME, Level.RESCORED, True, f"{named}: {tolerance.title}{_bounds(tolerance)}")
    wrong = zip(*np.nonzero(~_held(TOLERANCES[-1], theirs, ours, pixels)), strict=True)
    lines = []
    for row, column in wrong:
        inversion, method, sample = found.iloc[row][_KEYS]
        name, metric = combination_name(inversion, method), metrics[column].key
        numbers = f"{theirs[row, column]:.4g} in the pack, {ours[row, column]:.4g} here"
        lines.append(f"{name} {sample}: {metric} is {numbers}")
    return Check(_NAME, Level.RESCORED, False, f"{named}: {first_few(lines, _SHOWN, '; ')}")


def _held(
    tolerance: Tolerance,
    given: NDArray[np.float64],
    found: NDArray[np.float64],
    pixels: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which scores are within a tolerance, ``[rows, metrics]``; ``pixels``: the metrics without a network."""
    if tolerance is not TOLERANCES[-1]:
        return tolerance.holds(given, found)
    return np.where(pixels, WITHOUT_NETWORKS.holds(given, found), tolerance.holds(given, found))


def _bounds(tolerance: Tolerance) -> str:
    """The bounds of a tolerance, for print."""
    if not tolerance.absolute:
        return ""
    share = f" or {tolerance.relative:.1%}" if tolerance.relative else ""
    return f" (within {tolerance.absolute:g}{share}, in the units of tables)"

"""How the edits and scores of a report were made, and what an edit cost: facts at the top of the page."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.combination_names import combination_name
from piebench_eval.runs.store.records import evaluations_of
from piebench_eval.runs.store.session_log import BY_EDITOR
from piebench_eval.tables.combined import run_label
from piebench_eval.tables.provenance import protocol_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from piebench_eval.runs.store.folder import RunStore

_SETTINGS = {
    "steps": "steps",
    "guidance": "guidance",
    "seed": "seed",
    "precision": "precision of editing",
    "weights": "weights",
    "resolution": "resolution",
    "image_loader": "image loader",
    "posterior": "posterior",
    "grey_levels": "grey levels",
    "output_resolution": "output resolution",
    "output_filter": "output filter",
}
"""Names on the page of the settings that all inversions and methods share."""

_SHOWN_OF_HASH = 12


@dataclass(frozen=True)
class Provenance:
    """How a run's edits and scores, or a folder's scores, were made.

    Attributes:
        label: name of the run or folder on the page.
        facts: texts by name, such as ``model``, in the order of the page.
    """

    label: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class MeasuredCost:
    """Mean measured cost of an edit of a combination.

    Attributes:
        seconds: wall time.
        evaluations: model evaluations in rows of a batch, forward and backward.
    """

    seconds: float
    evaluations: float


def costs_of_run(
    records: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> dict[tuple[str, str], MeasuredCost]:
    """Mean cost of an edit, by inversion and method.

    Args:
        records: the newest record of each edit, by inversion, method and sample id.
    """
    of_pairs: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for (inversion, method, _), record in records.items():
        evaluations = evaluations_of(record)
        if isinstance(record.get("seconds"), int | float) and evaluations is not None:
            of_pairs[inversion, method].append((record["seconds"], evaluations))
    means = {pair: np.mean(numbers, axis=0) for pair, numbers in of_pairs.items()}
    return {
        pair: MeasuredCost(float(seconds), float(evaluations))
        for pair, (seconds, evaluations) in means.items()
    }


def run_provenance(
    store: RunStore,
    records: Mapping[tuple[str, str, str], Mapping[str, Any]],
    scores_provenance: Mapping[str, Any],
) -> Provenance:
    """Provenance of a run's edits and scores.

    Args:
        store: the run.
        records: the newest record of each edit.
        scores_provenance: provenance of the scores.
    """
    recipe, manifest = store.recipe, store.manifest()
    settings = {combination_name(*pair): _in_force(recipe.settings(*pair)) for pair in recipe.pairs}
    facts = {"model": _models(settings, manifest["models"])}
    facts |= {title: _shared(settings, name) for name, title in _SETTINGS.items()}
    facts["resolution"] = facts["resolution"] or _listed(each.get("resolution") for each in records.values())
    sessions: Sequence[Mapping[str, Any]] = manifest["sessions"]
    times = sorted(str(record["finished"])[:10] for record in records.values())
    facts |= {
        "image format": recipe.image_format,
        "benchmark": f"{sessions[-1]['data_folder']} ({manifest['data'].get('images')} pictures)"
        if sessions
        else "",
        "edited": " to ".join(dict.fromkeys([times[0], times[-1]])) if times else "",
        "device": _listed(record.get("device") for record in records.values()),
        "seconds per edit": _range([cost.seconds for cost in costs_of_run(records).values()], 2),
        "model evaluations per edit": _range(
            [cost.evaluations for cost in costs_of_run(records).values()], 0
        ),
        **_of_scores(scores_provenance),
        "versions": _versions(sessions[-1].get("versions", {}) if sessions else {}, scores_provenance),
    }
    return Provenance(run_label(store.folder), _known(facts))


def folder_provenance(file: Path, scores_provenance: Mapping[str, Any]) -> Provenance:
    """Provenance of a folder's scores; how its images were made is unknown.

    Args:
        file: the scores file.
        scores_provenance: provenance of the scores.
    """
    facts = {
        "pictures": str(scores_provenance.get("images", "")),
        "image loader": str(scores_provenance.get("image_loader") or ""),
        "benchmark": str(scores_provenance.get("data", "")),
        **_of_scores(scores_provenance),
        "versions": _versions({}, scores_provenance),
    }
    return Provenance(run_label(file), _known(facts))


def _in_force(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the filter of the way out where nothing is resized there."""
    resized = settings.get("output_resolution") is not None
    return {name: value for name, value in settings.items() if resized or name != "output_filter"}


def _of_scores(scores_provenance: Mapping[str, Any]) -> dict[str, str]:
    networks = scores_provenance.get("networks", {})
    return {
        "networks of scoring": ", ".join(f"{role} {name}" for role, name in networks.items()),
        "protocol": protocol_of(dict(scores_provenance))[0],
        "precision of scoring": str(scores_provenance.get("precision", "")),
    }


def _models(settings: Mapping[str, Mapping[str, Any]], fingerprints: Mapping[str, str | None]) -> str:
    """The models with their revisions, and the first digits of their files' hash."""
    names = {
        f"{each['model']}@{each['revision']}" if each.get("revision") else str(each["model"])
        for each in settings.values()
    }
    hashes = {name: fingerprints.get(name) or fingerprints.get(name + BY_EDITOR) for name in sorted(names)}
    return ", ".join(
        f"{name} ({known[:_SHOWN_OF_HASH]})" if known else name for name, known in hashes.items()
    )


def _shared(settings: Mapping[str, Mapping[str, Any]], field: str) -> str:
    """A setting's value; if combinations differ, each value with its combinations."""
    owners: dict[str, list[str]] = {}
    for name, each in settings.items():
        if each.get(field) is not None:
            owners.setdefault(str(each[field]), []).append(name)
    if len(owners) < 2:
        return "".join(owners)
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in owners.items())


def _listed(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value))


def _range(values: Sequence[float], decimals: int) -> str:
    if not values:
        return ""
    ends = (f"{end:.{decimals}f}" for end in (min(values), max(values)))
    return " to ".join(dict.fromkeys(ends))


def _versions(editing: Mapping[str, object], scores_provenance: Mapping[str, Any]) -> str:
    """Library versions of editing and scoring; both, where they differ."""
    scoring = scores_provenance.get("versions", {})
    texts = []
    for name in dict.fromkeys([*editing, *scoring]):
        version = editing.get(name, scoring.get(name))
        other = scoring.get(name, version)
        texts.append(f"{name} {version}" if other == version else f"{name} {version} (scoring: {other})")
    return ", ".join(texts)


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    return {scores_provenance: text for scores_provenance, text in facts.items() if text}

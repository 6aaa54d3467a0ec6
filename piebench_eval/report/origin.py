"""What made the edits and the scores of a report, and what an edit took: facts for the head of the page."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.tables.about import protocol_of
from piebench_eval.tables.combined import label_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from piebench_eval.runs.store.folder import RunStore

_SETTINGS = {
    "steps": "steps",
    "guidance": "guidance",
    "seed": "seed",
    "precision": "precision of editing",
    "resolution": "resolution",
    "image_loader": "image loader",
}
"""What a page calls the settings that all inversions and methods have."""

_SHOWN_OF_HASH = 12


@dataclass(frozen=True)
class Origin:
    """What made a run or the scores of a folder.

    Attributes:
        label: what the page calls it.
        facts: texts by what they are about, in the order of the page.
    """

    label: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Cost:
    """What an edit of a combination took, in the mean.

    Attributes:
        seconds: wall time.
        evaluations: UNet evaluations of one picture and prompt, forward and backward.
    """

    seconds: float
    evaluations: float


def costs_of_run(records: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> dict[tuple[str, str], Cost]:
    """What an edit took, by inversion and method.

    Args:
        records: the newest record of each edit, by inversion, method and sample id.
    """
    of_pairs: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for (inversion, method, _), record in records.items():
        rows = [record.get(field) for field in ("unet_rows_forward", "unet_rows_backward")]
        if isinstance(record.get("seconds"), int | float) and all(isinstance(row, int) for row in rows):
            of_pairs[inversion, method].append((record["seconds"], sum(row or 0 for row in rows)))
    means = {pair: np.mean(numbers, axis=0) for pair, numbers in of_pairs.items()}
    return {pair: Cost(float(seconds), float(evaluations)) for pair, (seconds, evaluations) in means.items()}


def origin_of_run(
    store: RunStore, records: Mapping[tuple[str, str, str], Mapping[str, Any]], about: Mapping[str, Any]
) -> Origin:
    """What made a run's edits and their scores.

    Args:
        store: the run.
        records: the newest record of each edit.
        about: what is known of the scores.
    """
    recipe, manifest = store.recipe, store.manifest()
    settings = {"+".join(pair): recipe.settings(*pair) for pair in recipe.pairs}
    facts = {"model": _models(settings, manifest["models"])}
    facts |= {title: _shared(settings, name) for name, title in _SETTINGS.items()}
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
        "UNet evaluations per edit": _range([cost.evaluations for cost in costs_of_run(records).values()], 0),
        **_of_scores(about),
        "versions": _versions(sessions[-1].get("versions", {}) if sessions else {}, about),
    }
    return Origin(label_of(store.folder), _known(facts))


def origin_of_folder(file: Path, about: Mapping[str, Any]) -> Origin:
    """What made the scores of anybody's pictures; what made the pictures nobody says.

    Args:
        file: the scores file.
        about: what is known of the scores.
    """
    facts = {
        "pictures": str(about.get("images", "")),
        "image loader": str(about.get("image_loader") or ""),
        "benchmark": str(about.get("data", "")),
        **_of_scores(about),
        "versions": _versions({}, about),
    }
    return Origin(label_of(file), _known(facts))


def _of_scores(about: Mapping[str, Any]) -> dict[str, str]:
    networks = about.get("networks", {})
    return {
        "networks of scoring": ", ".join(f"{role} {name}" for role, name in networks.items()),
        "protocol": protocol_of(dict(about))[0],
        "precision of scoring": str(about.get("precision", "")),
    }


def _models(settings: Mapping[str, Mapping[str, Any]], fingerprints: Mapping[str, str | None]) -> str:
    """The models with their revisions, and the beginning of the hash of their files."""
    names = {
        f"{each['model']}@{each['revision']}" if each.get("revision") else str(each["model"])
        for each in settings.values()
    }
    hashes = {name: fingerprints.get(name) for name in sorted(names)}
    return ", ".join(
        f"{name} ({known[:_SHOWN_OF_HASH]})" if known else name for name, known in hashes.items()
    )


def _shared(settings: Mapping[str, Mapping[str, Any]], field: str) -> str:
    """A setting's value; where combinations differ, which of them have which."""
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


def _versions(editing: Mapping[str, object], about: Mapping[str, Any]) -> str:
    """Versions of what edited and scored; where the two differ, both."""
    scoring = about.get("versions", {})
    texts = []
    for name in dict.fromkeys([*editing, *scoring]):
        version = editing.get(name, scoring.get(name))
        other = scoring.get(name, version)
        texts.append(f"{name} {version}" if other == version else f"{name} {version} (scoring: {other})")
    return ", ".join(texts)


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    return {about: text for about, text in facts.items() if text}

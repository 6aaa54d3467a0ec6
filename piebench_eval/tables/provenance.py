"""Provenance of scores: the JSON file beside a scores file, and the same in a column of its rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import DEMO, is_embedded
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.protocol import PAPER, Protocol, parse_protocol
from piebench_eval.models.quantization import FULL
from piebench_eval.quirks import quirks_apart
from piebench_eval.recipes.combination import LATER_SETTINGS, with_former_defaults
from piebench_eval.scoring.resolutions import SAVED, SOURCES, WORKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

PROVENANCE_COLUMN = "about"
"""Column that holds each row's provenance, as JSON; also the key of a frame's ``attrs``."""

_PAPER_NAME = "paper"
_FULL_PRECISION = "fp32"
_FILE = "the JSON file beside the scores"


def read_provenance(provenance_file: Path) -> dict[str, Any]:
    """Read the JSON file beside a scores file; empty if it is missing or damaged."""
    try:
        return parse_provenance(provenance_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def parse_provenance(text: str) -> dict[str, Any]:
    """Parse provenance; fields of the wrong type are dropped, and what is no JSON object is empty."""
    try:
        provenance = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    provenance = provenance if isinstance(provenance, dict) else {}
    objects = ("networks", "combinations", "rows", "data_remarks", "versions", "subset")
    lists = ("missing", "resized")
    shapes = {**dict.fromkeys(objects, dict), **dict.fromkeys(lists, list)}
    provenance = {
        field: value for field, value in provenance.items() if isinstance(value, shapes.get(field, object))
    }
    if not isinstance(provenance.get("subset", {}).get("samples", 0), int):
        del provenance["subset"]
    if "combinations" in provenance:
        provenance["combinations"] = {
            name: quirks_apart(settings) if isinstance(settings, dict) else settings
            for name, settings in provenance["combinations"].items()
        }
    return provenance


def is_demo(provenance: dict[str, Any]) -> bool:
    """Whether the embedded models made the edits or the scores."""
    return demo_label(provenance) is not None


def demo_label(provenance: dict[str, Any]) -> str | None:
    """What a table calls the embedded models behind its rows; None if there are none.

    It is the name of the one that made all edits, or ``demo`` for several, or if only the scores are theirs.
    """
    models = [combination.get("model") for combination in provenance.get("combinations", {}).values()]
    editors = {model for model in (provenance.get("model"), *models) if is_embedded(model)}
    if len(editors) == 1:
        return editors.pop()
    scored = any(is_embedded(name) for name in provenance.get("networks", {}).values())
    return DEMO if editors or scored else None


def protocol_of(provenance: dict[str, Any], file: str = _FILE) -> tuple[str, Protocol]:
    """Name and rules of the scores' protocol; the paper's by default.

    Args:
        provenance: from ``read_provenance``.
        file: its file, for messages.

    Raises:
        PiebenchError: the protocol is invalid.
    """
    protocol = provenance.get("protocol", _PAPER_NAME)
    if protocol == _PAPER_NAME:
        return _PAPER_NAME, PAPER
    if not isinstance(protocol, dict) or "rules" not in protocol:
        raise PiebenchError(
            f"{file}: protocol: holds no rules; score the images again with piebench score, which writes them"
        )
    name = str(protocol.get("name", "unnamed"))
    return name, parse_protocol(protocol["rules"], f"{file}: protocol")


def protocol_differences(provenance: dict[str, Any]) -> list[str]:
    """The fields in which the scores' protocol differs from the paper's, ``field: paper's -> theirs``.

    A selection of editing types is not counted: it may come from elsewhere than the protocol.
    """
    _, protocol = protocol_of(provenance)
    return PAPER.differences(protocol.with_changes({"average": {"types": None}}))


def lower_precision(provenance: dict[str, Any]) -> str | None:
    """The precision of the metrics' networks, if it is below fp32."""
    precision = str(provenance.get("precision", _FULL_PRECISION))
    return None if precision == _FULL_PRECISION else precision


def quantized_weights(provenance: dict[str, Any]) -> dict[str, str]:
    """The combinations that models with quantised weights edited, by name, with the kind of weights."""
    found = {
        name: settings.get("weights", FULL)
        for name, settings in provenance.get("combinations", {}).items()
        if isinstance(settings, dict)
    }
    return {name: str(weights) for name, weights in found.items() if weights != FULL}


def subset_text(provenance: dict[str, Any]) -> str | None:
    """Which fixed subset of a benchmark was scored, and how much of it that is; None if none was."""
    subset = provenance.get("subset")
    if not subset:
        return None
    return f"{subset.get('name')}, {subset.get('samples')} of the benchmark's {subset.get('of')} samples"


def with_provenance(scores: pd.DataFrame, provenance: dict[str, Any]) -> pd.DataFrame:
    """Add each row's provenance in a column.

    Args:
        scores: from ``read_scores``.
        provenance: from ``read_provenance``.
    """
    return scores.assign(**{PROVENANCE_COLUMN: json.dumps(provenance)})


def provenance_of_rows(scores: pd.DataFrame) -> dict[str, Any]:
    """Merge the provenance of all rows; without a provenance column, that of the frame's ``attrs``.

    Returns:
        The merged provenance. ``unknown`` counts the rows without any, if others have one.

    Raises:
        PiebenchError: the rows were made by different protocols, networks or settings.
    """
    if PROVENANCE_COLUMN not in scores.columns:
        return dict(scores.attrs.get(PROVENANCE_COLUMN, {}))
    column = scores[PROVENANCE_COLUMN].fillna("")
    unknown = int((column == "").sum())
    provenance = _merged([parse_provenance(text) for text in column.unique() if text])
    return {**provenance, "unknown": unknown} if unknown else provenance


def _merged(provenances: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge provenances: fields that all share, and unions of networks, combinations and problems."""
    if len(provenances) < 2:
        return dict(provenances[0]) if provenances else {}
    protocols = [protocol_of(provenance) for provenance in provenances]
    if any(rules != protocols[0][1] for _, rules in protocols):
        names = ", ".join(dict.fromkeys(name for name, _ in protocols))
        raise PiebenchError(
            f"the rows were scored by different protocols ({names}), so their numbers cannot be put into one "
            "table; score them again by one protocol"
        )
    shared = {
        field: value
        for field, value in provenances[0].items()
        if all(field in provenance and provenance[field] == value for provenance in provenances)
    }
    if loaders := dict.fromkeys(
        loader for provenance in provenances if (loader := provenance.get("image_loader"))
    ):
        shared["image_loader"] = ", ".join(loaders)
    if demos := {label for provenance in provenances if (label := demo_label(provenance))}:
        shared["model"] = demos.pop() if len(demos) == 1 else DEMO
    if subsets := [subset for provenance in provenances if (subset := provenance.get("subset"))]:
        shared["subset"] = max(subsets, key=lambda subset: subset.get("samples", 0))
    return {
        **shared,
        "protocol": provenances[0].get("protocol", protocols[0][0]),
        "precision": next(
            (found for provenance in provenances if (found := lower_precision(provenance))), "fp32"
        ),
        "networks": _union(
            provenances, "networks", "scored with different networks", "score them again with one"
        ),
        "combinations": _union(
            provenances, "combinations", "edited with different settings", "tabulate them apart"
        ),
        "rows": _facts(provenances),
        "missing": [item for provenance in provenances for item in provenance.get("missing", ())],
        "resized": [item for provenance in provenances for item in provenance.get("resized", ())],
    }


def _union(provenances: Sequence[dict[str, Any]], field: str, conflict: str, remedy: str) -> dict[str, Any]:
    union: dict[str, Any] = {}
    for provenance in provenances:
        for key, value in provenance.get(field, {}).items():
            known = union.setdefault(key, value)
            if _chosen(known) != _chosen(value):
                raise PiebenchError(f"the rows were {conflict} ({key}); {remedy}")
            if known != value:
                differing = [size for size in _SIZES if known.get(size) != value.get(size)]
                union[key] = known | dict.fromkeys(differing)
    return union


def _facts(provenances: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The facts of each row, by its name; those that two parts of a row do not share are unknown."""
    facts: dict[str, dict[str, Any]] = {}
    for provenance in provenances:
        for name, of_part in provenance.get("rows", {}).items():
            known = facts.setdefault(name, dict(of_part))
            known |= {field: None for field in known if known[field] != of_part.get(field)}
    return facts


_SIZES = (WORKING, SAVED, SOURCES)


def _chosen(value: Any) -> Any:
    """What was chosen of a combination's settings: without measured sizes, and what is not said otherwise."""
    if not isinstance(value, dict):
        return value
    return {
        name: of_name
        for name, of_name in with_former_defaults(value).items()
        if name not in _SIZES and (name not in LATER_SETTINGS or of_name != LATER_SETTINGS[name])
    }

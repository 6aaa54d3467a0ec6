"""What is known of a scores file: the JSON file beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import DEMO
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.protocol import PAPER, Protocol, parse_protocol
from piebench_eval.quirks import quirks_apart

if TYPE_CHECKING:
    from pathlib import Path

_PAPER_NAME = "paper"
_FULL_PRECISION = "fp32"
_PLACE = "the JSON file beside the scores"


def read_about(provenance_file: Path) -> dict[str, Any]:
    """What is known of a scores file; empty if nothing was written beside it."""
    try:
        return parse_about(provenance_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def parse_about(text: str) -> dict[str, Any]:
    """What is known of scores, as JSON says it; empty if it is no JSON object."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    about = about if isinstance(about, dict) else {}
    objects, lists = ("networks", "combinations", "data_remarks", "versions"), ("missing", "resized")
    shapes = {**dict.fromkeys(objects, dict), **dict.fromkeys(lists, list)}
    about = {field: value for field, value in about.items() if isinstance(value, shapes.get(field, object))}
    if "combinations" in about:
        about["combinations"] = {
            name: quirks_apart(settings) if isinstance(settings, dict) else settings
            for name, settings in about["combinations"].items()
        }
    return about


def is_of_demo(about: dict[str, Any]) -> bool:
    """Whether scores come from the embedded models: edited by them or scored with them."""
    models = [combination.get("model") for combination in about.get("combinations", {}).values()]
    return DEMO in (about.get("model"), *models, *about.get("networks", {}).values())


def protocol_of(about: dict[str, Any], place: str = _PLACE) -> tuple[str, Protocol]:
    """Name and rules of the protocol that scores were made by: the paper's, if nothing else is said.

    Args:
        about: from ``read_about``.
        place: what to call its file in messages.

    Raises:
        PiebenchError: it is something that there is not.
    """
    protocol = about.get("protocol", _PAPER_NAME)
    if protocol == _PAPER_NAME:
        return _PAPER_NAME, PAPER
    if not isinstance(protocol, dict) or "rules" not in protocol:
        raise PiebenchError(
            f"{place}: protocol: holds no rules; make the scores again with piebench score, which writes them"
        )
    name = str(protocol.get("name", "unnamed"))
    return name, parse_protocol(protocol["rules"], f"{place}: protocol")


def protocol_differences(about: dict[str, Any]) -> list[str]:
    """The fields in which the scores' protocol differs from the paper's, ``field: paper's -> theirs``.

    A choice of editing types is none of them: it need not be the protocol's.
    """
    _, protocol = protocol_of(about)
    return PAPER.differences(protocol.choosing({"average": {"types": None}}))


def lower_precision(about: dict[str, Any]) -> str | None:
    """The precision that the metrics' networks ran in, where it is not full."""
    precision = str(about.get("precision", _FULL_PRECISION))
    return None if precision == _FULL_PRECISION else precision

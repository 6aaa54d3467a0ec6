"""Checks of a pack that need nothing but its files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.files import read_json_lines, read_json_object
from piebench_eval.packs.card import card_text
from piebench_eval.packs.contents import about_of
from piebench_eval.packs.layout import (
    ABOUT_FILE,
    CARD_FILE,
    CHECKSUMS_FILE,
    FORMAT,
    RECORDS_FILE,
    SCORES_ABOUT_FILE,
    is_picture,
)
from piebench_eval.packs.levels import Check, Level
from piebench_eval.packs.means import edited_rows, means_of
from piebench_eval.packs.writing import checksums_text
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.paths import RECIPE_FILE, SCORES_FILE
from piebench_eval.runs.store.records import EditKey
from piebench_eval.tables.score_table import read_score_table
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from piebench_eval.packs.reading import Unpacked
    from piebench_eval.tables.score_table import ScoreTable

_SHOWN = 5
_SAME_MEAN = 1e-9
"""Relative difference between means of the same scores by other versions of numpy."""

_ABOUT_FIELDS = {
    *("format", "name", "piebench_eval", "recipe_hash", "model", "benchmark"),
    *("edits", "missing", "pictures", "versions", "means"),
}


UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading raises of JSON and YAML in another form than piebench writes."""


class Mismatch(Exception):
    """What a pack says of itself is not so."""


@dataclass(frozen=True)
class Pack:
    """An unpacked pack whose parts can be read.

    Attributes:
        unpacked: its files.
        about: content of ``pack.json``.
        records: the record of each edit, with its file.
        store: the run.
        score_table: the scores.
    """

    unpacked: Unpacked
    about: dict[str, Any]
    records: dict[EditKey, dict[str, Any]]
    store: RunStore
    score_table: ScoreTable


def read_pack(unpacked: Unpacked) -> Pack:
    """Read the parts of an unpacked pack; the recipe's hash is computed, and compared with the manifest's.

    Raises:
        PiebenchError: a part is missing or damaged, or the recipe is not that of the manifest.
    """
    folder = unpacked.folder
    about = read_json_object(folder / ABOUT_FILE, _ABOUT_FIELDS, "it is no pack of this version")
    if about["format"] != FORMAT:
        raise PiebenchError(
            f"{ABOUT_FILE}: is of format {about['format']}, and this version of piebench reads {FORMAT}; use "
            f"piebench-eval {about['piebench_eval']}"
        )
    _require_plain_yaml(folder / RECIPE_FILE)
    store = RunStore.read(folder)
    store.manifest()  # its session logs too
    fields = {*EditKey._fields, "file", "sha256", "bytes"}
    entries, torn = (
        read_json_lines(folder / RECORDS_FILE, fields) if (folder / RECORDS_FILE).is_file() else ([], 1)
    )
    if torn:
        raise PiebenchError(f"{RECORDS_FILE}: is missing or damaged")
    records = {EditKey(*(str(entry[name]) for name in EditKey._fields)): entry for entry in entries}
    if len(records) < len(entries):
        raise PiebenchError(f"{RECORDS_FILE}: has two records of an edit")
    score_table = read_score_table(folder / SCORES_FILE, folder / SCORES_ABOUT_FILE, None)
    return Pack(unpacked, about, records, store, score_table)


def _require_plain_yaml(file: Path) -> None:
    """Refuse aliases, by which a few lines of YAML stand for billions.

    Raises:
        PiebenchError: the file has some, or cannot be read.
    """
    import yaml

    try:
        events = list(yaml.parse(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PiebenchError(f"{file}: is missing or damaged ({error})") from None
    if any(isinstance(event, yaml.AliasEvent) for event in events):
        raise PiebenchError(f"{file}: has aliases, which piebench does not write")


def check_files(unpacked: Unpacked) -> Check:
    """Compare every file with the list of checksums."""
    file = unpacked.folder / CHECKSUMS_FILE
    listed = file.read_bytes() if file.is_file() else b""
    found = {path: digest for path, digest in unpacked.digests.items() if path != CHECKSUMS_FILE}
    wrong = [f"{path} belongs to no pack" for path in unpacked.strangers]
    if listed != checksums_text(found):
        parts = [line.split("  ", 1) for line in _lines(listed) if "  " in line]
        lines = {path: digest for digest, path in parts}
        wrong += [f"{path} is missing" for path in sorted(lines.keys() - found)]
        wrong += [f"{path} is not listed" for path in sorted(found.keys() - lines)]
        wrong += [
            f"{path} was changed" for path in sorted(found) if lines.get(path, found[path]) != found[path]
        ]
        wrong = wrong or [f"{CHECKSUMS_FILE} is not as piebench pack writes it"]
    detail = first_few(wrong, _SHOWN, "; ") if wrong else f"{len(found)} files are those of {CHECKSUMS_FILE}"
    return Check("checksums", Level.SCORES_GIVEN, not wrong, detail)


def check_parts(pack: Pack) -> list[Check]:
    """Check that recipe, records, pictures, scores and means belong together."""
    parts = {
        "recipe": _recipe,
        "claims": _claims,
        "pictures": _pictures,
        "scores": _scores,
        "means": _means,
        "card": _card,
    }
    checks = []
    for name, check in parts.items():
        try:
            passed, detail = True, check(pack)
        except (Mismatch, PiebenchError) as error:
            passed, detail = False, str(error)
        except UNREADABLE as error:
            passed, detail = False, f"cannot be read ({type(error).__name__}: {error})"
        checks.append(Check(name, Level.SCORES_GIVEN, passed, detail))
    return checks


def _lines(listed: bytes) -> list[str]:
    return listed.decode("utf-8", errors="replace").splitlines()


def _require(problems: Iterator[str] | list[str]) -> None:
    if found := list(problems):
        raise Mismatch(first_few(found, _SHOWN, "; "))


def _recipe(pack: Pack) -> str:
    """The recipe is the one that the pack, its scores and its manifest name."""
    recipe = pack.store.recipe
    given = {
        ABOUT_FILE: pack.about["recipe_hash"],
        SCORES_ABOUT_FILE: pack.score_table.provenance["recipe_hash"],
    }
    _require([f"{file} names another recipe" for file, digest in given.items() if digest != recipe.hash])
    combinations = pack.score_table.provenance["combinations"]
    for inversion, method in recipe.pairs:
        settings = recipe.settings(inversion, method)
        name = EditKey(inversion, method, "").combination
        scored = combinations[name]
        _require(
            f"{name}: {field} is {settings[field]} in the recipe, and was {scored[field]} when it was scored"
            for field in settings
            if field in scored and json.dumps(settings[field]) != json.dumps(scored[field])
        )
    return f"{recipe.hash[:12]}, as in the manifest and beside the scores"


def _claims(pack: Pack) -> str:
    """Model, benchmark and versions, which the card repeats, are those of the run."""
    about = pack.about
    found = about_of(
        *(pack.store, pack.score_table, about["name"], about["edits"], about["missing"], about["pictures"])
    )
    _require(
        f"{ABOUT_FILE} claims another {name} than the run has"
        for name in ("model", "benchmark", "versions")
        if json.dumps(about[name], sort_keys=True) != json.dumps(found[name], sort_keys=True)
    )
    return "model, benchmark and versions are those of the run"


def _pictures(pack: Pack) -> str:
    """Every planned edit has a record or is said to be missing, and every record its picture."""
    planned = pack.store.manifest()["samples"]
    wanted = {EditKey(*pair, sample) for pair in pack.store.recipe.pairs for sample in planned}
    missing = {(name, sample) for name, ids in pack.about["missing"].items() for sample in ids}
    absent = {key for key in wanted if (key.combination, key.sample) in missing}
    _require(
        f"{key.combination} {key.sample}: has no record"
        for key in sorted(wanted - absent - set(pack.records))
    )
    _require(f"{key.combination} {key.sample}: was not planned" for key in sorted(set(pack.records) - wanted))
    if pack.about["edits"] != len(pack.records):
        raise Mismatch(f"{ABOUT_FILE} claims {pack.about['edits']} edits, and there are {len(pack.records)}")
    lacking = f"; {len(absent)} planned edits are missing" if absent else ""
    if not pack.about["pictures"]:
        return f"{len(pack.records)} checksums; the pictures are not in the pack{lacking}"
    recorded = {str(record["file"]): record["sha256"] for record in pack.records.values()}
    found = {path: digest for path, digest in pack.unpacked.digests.items() if is_picture(path)}
    _require(f"{path}: is missing" for path in sorted(recorded.keys() - found))
    _require(f"{path}: has no record" for path in sorted(found.keys() - recorded))
    _require(
        f"{path}: is not the picture of its record" for path in sorted(found) if found[path] != recorded[path]
    )
    return f"{len(found)} pictures are those of their records{lacking}"


def _scores(pack: Pack) -> str:
    """Every edit has a row of scores, and no other has."""
    if not isinstance(pack.score_table.provenance["networks"], dict):
        raise Mismatch(f"{SCORES_ABOUT_FILE} names no networks")
    scored = edited_rows(pack.score_table.rows)
    made = {tuple(key) for key in pack.records}
    _require(f"{EditKey(*key).combination} {key[2]}: has no scores" for key in sorted(made - scored))
    _require(
        f"{EditKey(*key).combination} {key[2]}: has scores and no record" for key in sorted(scored - made)
    )
    return f"{len(scored)} edits have scores"


def _means(pack: Pack) -> str:
    """The claimed means follow from the scores."""
    claimed, found = pack.about["means"], means_of(pack.score_table)
    if [_labels(row) for row in claimed] != [_labels(row) for row in found]:
        raise Mismatch(f"{ABOUT_FILE} claims means of other combinations than have scores")
    _require(
        f"{' '.join(_labels(theirs))}: {metric} is {theirs.get(metric)}, and the scores give {value}"
        for theirs, ours in zip(claimed, found, strict=True)
        for metric, value in ours.items()
        if not _same(theirs.get(metric), value)
    )
    return f"the means of {len(found)} rows follow from the scores"


def _card(pack: Pack) -> str:
    """The card is the one of these scores."""
    written_by = pack.about["piebench_eval"]
    if written_by != __version__:
        return f"not compared: written by piebench-eval {written_by}"
    card = (pack.unpacked.folder / CARD_FILE).read_text(encoding="utf-8")
    if card != card_text(pack.about, pack.score_table):
        raise Mismatch(f"{CARD_FILE} is not the card of these scores")
    return "says what the scores say"


def _labels(row: Mapping[str, Any]) -> list[str]:
    return [str(row[label]) for label in ("inversion", "method") if row[label]]


def _same(claimed: Any, found: Any) -> bool:
    if isinstance(claimed, float) and isinstance(found, float):
        return math.isclose(claimed, found, rel_tol=_SAME_MEAN, abs_tol=_SAME_MEAN)
    return bool(claimed == found)

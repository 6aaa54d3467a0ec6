"""Gather what a pack of a run contains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import combination_name
from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.packs.card import card_text
from piebench_eval.packs.layout import (
    ABOUT_FILE,
    CARD_FILE,
    FORMAT,
    RECORDS_FILE,
    SCORES_ABOUT_FILE,
)
from piebench_eval.packs.means import edited_rows, means_of
from piebench_eval.packs.writing import sha256_of
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.paths import MANIFEST_FILE, RECIPE_FILE, SCORES_FILE
from piebench_eval.runs.store.records import EditKey
from piebench_eval.runs.store.session_log import SESSIONS_FOLDER
from piebench_eval.scoring.scores_file import provenance_file
from piebench_eval.tables.score_table import read_score_table
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from piebench_eval.data.sample import Sample
    from piebench_eval.tables.score_table import ScoreTable

_SHOWN = 5


@dataclass(frozen=True)
class PackContents:
    """What a pack of a run contains.

    Attributes:
        files: contents, or files to copy, by path in the archive.
        edits: how many edits the run has.
        missing: ids of the planned edits that it lacks, by combination.
    """

    files: dict[str, bytes | Path]
    edits: int
    missing: dict[str, list[str]]


def gather(run: Path, name: str, data: Path | None = None, pictures: bool = True) -> PackContents:
    """Gather what a pack of a scored run contains.

    Session logs lose the names of machines and the folders of the benchmark, which are nobody's business.

    Args:
        run: the run folder.
        name: what the card calls it.
        data: the benchmark folder, if it has moved since the run.
        pictures: whether the pictures go along; their checksums do in any case.

    Raises:
        PiebenchError: the folder is no run, is not scored or was scored before it was finished, its benchmark
            is gone, or a picture is not the one that was made.
    """
    store = RunStore.read(run)
    _, samples = dataset_of_run(store, data)
    records, images, missing = _edits(store, samples)
    score_table = read_score_table(store.scores_file, provenance_file(store.scores_file), None)
    _require_scores_of(score_table, records, run)
    about = about_of(store, score_table, name, len(records), missing, pictures)
    files: dict[str, bytes | Path] = {
        RECIPE_FILE: run / RECIPE_FILE,
        MANIFEST_FILE: run / MANIFEST_FILE,
        SCORES_FILE: store.scores_file,
        SCORES_ABOUT_FILE: _scores_about(store, missing),
        RECORDS_FILE: "".join(f"{json.dumps(record)}\n" for record in records).encode(),
        ABOUT_FILE: (json.dumps(about, indent=1) + "\n").encode(),
        CARD_FILE: card_text(about, score_table).encode(),
        **_sessions(store),
        **(images if pictures else {}),
    }
    return PackContents(files, len(records), missing)


def _edits(
    store: RunStore, samples: list[Sample]
) -> tuple[list[dict[str, Any]], dict[str, Path], dict[str, list[str]]]:
    """The record of each finished edit with its file, the files, and the ids of the missing edits.

    Raises:
        PiebenchError: a file is not the picture that was made.
    """
    done = store.scan(samples).done
    records: list[dict[str, Any]] = []
    images: dict[str, Path] = {}
    missing: dict[str, list[str]] = {}
    for pair in store.recipe.pairs:
        for sample in samples:
            key = EditKey(*pair, sample.id)
            if (record := done.get(key)) is None:
                missing.setdefault(key.combination, []).append(sample.id)
                continue
            file = store.image_file(*pair, sample)
            path = PurePosixPath(file.relative_to(store.folder)).as_posix()
            if sha256_of(file) != record["sha256"]:
                raise PiebenchError(
                    f"{file}: is not the picture that the run made; delete it, make it again with the run's "
                    "command, and score the run again"
                )
            images[path] = file
            records.append({**key._asdict(), **record, "file": path})
    return records, images, missing


def _require_scores_of(score_table: ScoreTable, records: list[dict[str, Any]], run: Path) -> None:
    """Check that every finished edit has a row of scores, and no other has.

    Raises:
        PiebenchError: the scores are of fewer edits, or of others.
    """
    if "inversion" not in score_table.rows.columns:
        raise PiebenchError(f"{run / SCORES_FILE}: holds no scores of a run; score it: piebench score {run}")
    scored = edited_rows(score_table.rows)
    made = {(record["inversion"], record["method"], record["sample"]) for record in records}
    if scored != made:
        names = [f"{combination_name(*pair)} {sample}" for *pair, sample in sorted(scored ^ made)]
        raise PiebenchError(
            f"{run / SCORES_FILE}: its scores are not those of the run's {len(made)} edits (beginning with "
            f"{first_few(names, _SHOWN)}); score it again: piebench score {run}"
        )


def about_of(
    store: RunStore,
    score_table: ScoreTable,
    name: str,
    edits: int,
    missing: dict[str, list[str]],
    pictures: bool,
) -> dict[str, Any]:
    """The content of ``pack.json``: what a pack claims of itself, which follows from its other files.

    Args:
        store: the run, or the unpacked pack.
        score_table: its scores.
        name: what the card calls it.
        edits: how many edits it has.
        missing: ids of the planned edits that it lacks, by combination.
        pictures: whether the pictures are in it.
    """
    manifest = store.manifest()
    versions = {json.dumps(session["versions"]): session["versions"] for session in manifest["sessions"]}
    return {
        "format": FORMAT,
        "name": name,
        "piebench_eval": __version__,
        "recipe_hash": store.recipe.hash,
        "model": store.recipe.model,
        "benchmark": {**manifest["data"], "samples": len(manifest["samples"])},
        "edits": edits,
        "missing": missing,
        "pictures": pictures,
        "versions": {"edits": list(versions.values()), "scores": score_table.provenance.get("versions", {})},
        "means": means_of(score_table),
    }


def _sessions(store: RunStore) -> dict[str, bytes]:
    """The session logs, numbered, without what names machines and their folders."""
    files = {}
    for number, session in enumerate(store.manifest()["sessions"], start=1):
        workers = {
            name: {field: value for field, value in worker.items() if field not in ("host", "pid")}
            for name, worker in session.get("workers", {}).items()
        }
        shown = {field: value for field, value in session.items() if field != "host"}
        shown |= {"data_folder": Path(session["data_folder"]).name, "workers": workers}
        files[f"{SESSIONS_FOLDER}/{number:04d}.json"] = json.dumps(shown, indent=1).encode()
    return files


def _scores_about(store: RunStore, missing: dict[str, list[str]]) -> bytes:
    """The JSON file beside the scores; missing pictures by their ids, not by their places on this machine."""
    about = json.loads(provenance_file(store.scores_file).read_text(encoding="utf-8"))
    about["missing"] = [f"{name}: {sample}" for name, ids in missing.items() for sample in ids]
    return json.dumps(about, indent=1).encode()

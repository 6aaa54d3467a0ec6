"""The run folder: recipe, manifest, edited images and a record of each."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import combination_name
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_json_object, remove_stale_partials, write_new, write_whole
from piebench_eval.recipes.stored_recipe import StoredRecipe
from piebench_eval.runs.store.paths import (
    IMAGES_FOLDER,
    MANIFEST_FILE,
    RECIPE_FILE,
    SCORES_FILE,
    holds_run,
    require_run,
)
from piebench_eval.runs.store.records import (
    EditKey,
    Outcome,
    RecordLog,
    RunRecords,
    read_records,
)
from piebench_eval.runs.store.session_log import changed_error, read_sessions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe

FORMAT = 3
"""Version of the folder's layout."""

_MANIFEST_PARTS = {"format", "recipe_hash", "plugins", "data"}


@dataclass
class Scan:
    """How far a run is.

    Attributes:
        done: records of the finished edits.
        failed: records of the edits that have failed and were not made later.
        missing: the other edits.
        problems: damage; the edits concerned count as missing.
    """

    done: dict[EditKey, dict[str, Any]] = field(default_factory=dict)
    failed: dict[EditKey, dict[str, Any]] = field(default_factory=dict)
    missing: list[EditKey] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class RunStore:
    """A run folder; any number of processes may work in it at once.

    Every file has one writer, or is written once: two processes that make the same edit save the same image,
    and a file appears under its name only when it is complete.

    Attributes:
        folder: the run folder.
        recipe: the recipe of all its images, as data: no plugin is imported to read it.
    """

    def __init__(self, folder: Path, recipe: Recipe | StoredRecipe):
        self.folder = folder
        self.recipe = recipe if isinstance(recipe, StoredRecipe) else recipe.stored

    @property
    def scores_file(self) -> Path:
        """The scores file: one row per image and combination."""
        return self.folder / SCORES_FILE

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a folder holds a run."""
        return holds_run(folder)

    @classmethod
    def read(cls, folder: Path) -> RunStore:
        """Open a run folder as it is.

        Raises:
            PiebenchError: not a run folder, a damaged one, or one of another version.
        """
        require_run(folder)
        about = _read_manifest(folder)
        file = folder / RECIPE_FILE
        store = cls(folder, StoredRecipe.read(file))
        if about["recipe_hash"] != store.recipe.hash:
            raise PiebenchError(
                f"{file}: is not the recipe that {MANIFEST_FILE} names; restore it, or start a new run folder"
            )
        return store

    @classmethod
    def create_or_resume(cls, folder: Path, recipe: Recipe, about: dict[str, Any]) -> RunStore:
        """Start a run in an empty folder, or resume one with the same recipe, data and plugins.

        Args:
            folder: the run folder.
            recipe: the recipe of the run.
            about: what else determines the numbers, see ``describe_run``.

        Raises:
            PiebenchError: the folder holds a run by another recipe, or on other data.
        """
        remove_stale_partials(folder)
        # The manifest first: a folder with a recipe then has both.
        write_new(folder / MANIFEST_FILE, json.dumps({"format": FORMAT, **about}, indent=1).encode())
        write_new(folder / RECIPE_FILE, recipe.to_yaml().encode())
        store = cls.read(folder)
        store.require_same_recipe(recipe)
        store.require_same_inputs(about)
        return store

    def require_same_recipe(self, recipe: Recipe) -> None:
        """Check that a recipe is that of the folder.

        Raises:
            PiebenchError: the recipes differ; it lists the fields.
        """
        if not self.recipe.has_quirks:
            raise PiebenchError(
                f"{self.folder / RECIPE_FILE}: has no section quirks, since an earlier version of piebench "
                "wrote it; choose another --out, or finish the run with that version. This version scores, "
                "tabulates and reports it as it is"
            )
        if differences := self.recipe.differences(recipe.stored):
            raise PiebenchError(
                f"{self.folder} holds a run by another recipe; choose another --out, or go back to its "
                "recipe. Differences (there -> now):\n" + "\n".join(f"  {line}" for line in differences)
            )

    def require_same_inputs(self, about: dict[str, Any]) -> None:
        """Check that data and plugins are those that the run started with.

        Args:
            about: see ``describe_run``.

        Raises:
            PiebenchError: they have changed.
        """
        known = _read_manifest(self.folder)
        for part, name in (("data", "the benchmark folder"), ("plugins", "a plugin")):
            if known[part] != about[part]:
                raise changed_error(self.folder, name)

    def manifest(self) -> dict[str, Any]:
        """The manifest file, the session logs, and the samples and models of all sessions.

        Raises:
            PiebenchError: a file is missing or damaged.
        """
        sessions = read_sessions(self.folder)
        models: dict[str, str | None] = {}
        for session in sessions:
            models |= session["models"]
        return {
            **_read_manifest(self.folder),
            "models": models,
            "samples": list(dict.fromkeys(sample for session in sessions for sample in session["samples"])),
            "sessions": sessions,
        }

    def image_file(self, inversion: str, method: str, sample: Sample) -> Path:
        """The file of an edit: the path of the source image with the suffix of the recipe's image format."""
        return self._image_file(combination_name(inversion, method), sample.image_path)

    def _image_file(self, combination: str, image_path: str) -> Path:
        suffix = ".png" if self.recipe.image_format == "png" else ".jpg"
        return self.folder / IMAGES_FOLDER / combination / Path(image_path).with_suffix(suffix)

    def save(self, outcomes: Sequence[Outcome], image_paths: dict[str, str], log: RecordLog) -> list[Outcome]:
        """Save outcomes: first the images, then their records.

        Args:
            outcomes: edits that were made or have failed.
            image_paths: path of each sample's image in the benchmark, by sample id.
            log: the record log of the writer.

        Returns:
            The outcomes without their images, which are on disk now.

        Raises:
            PiebenchError: the disk is full, or the folder cannot be written to.
        """
        saved = []
        for outcome in outcomes:
            key, record, image = outcome.key, outcome.record, outcome.image
            if image is not None:
                write_whole(self._image_file(key.combination, image_paths[key.sample]), image)
                record = {**record, "bytes": len(image), "sha256": hashlib.sha256(image).hexdigest()}
            saved.append(replace(outcome, record=record, image=None))
        log.append(saved)
        return saved

    def records(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """The newest record of each edit that was made, by (inversion, method, sample id)."""
        return {key: entries[-1] for key, entries in read_records(self.folder).made.items()}

    def scan(self, samples: Iterable[Sample]) -> Scan:
        """Find the finished, failed and missing edits of these samples, by records and file sizes."""
        records = read_records(self.folder)
        scan = Scan(problems=records.problems)
        names = {pair: combination_name(*pair) for pair in self.recipe.pairs}
        for sample in samples:
            for (inversion, method), combination in names.items():
                key = EditKey(inversion, method, sample.id)
                self._classify(key, self._image_file(combination, sample.image_path), records, scan)
        return scan

    def _classify(self, key: EditKey, file: Path, records: RunRecords, scan: Scan) -> None:
        try:
            size = os.stat(file).st_size  # noqa: PTH116 (8,400 times: Path.stat takes twice as long)
        except OSError:
            size = None
        made, failed = records.made.get(key, []), records.failed.get(key)
        fitting = [record for record in made if size is not None and record.get("bytes") == size]
        if fitting:
            scan.done[key] = fitting[-1]
        elif failed is not None and all(record["finished"] < failed["finished"] for record in made):
            scan.failed[key] = failed
        else:
            scan.missing.append(key)
            if made:
                found = "is gone" if size is None else f"holds {size} bytes, not {made[-1].get('bytes')}"
                scan.problems.append(f"{file}: {found}; it will be made again")
            elif size is not None:
                scan.problems.append(f"{file}: has no record; it will be made again")


def plugins_of_run(folder: Path) -> dict[str, str]:
    """SHA-256 of the plugins that a run began with, by file; empty where there is no run.

    Raises:
        PiebenchError: the folder's manifest is damaged.
    """
    return dict(_read_manifest(folder)["plugins"]) if RunStore.exists(folder) else {}


def _read_manifest(folder: Path) -> dict[str, Any]:
    about = read_json_object(folder / MANIFEST_FILE, {"format"}, "start a new run folder")
    if about["format"] != FORMAT:
        raise PiebenchError(
            f"{folder}: written by another version of piebench (folder format {about['format']}, this one "
            f"writes {FORMAT}); start a new run folder, or use that version"
        )
    manifest = read_json_object(folder / MANIFEST_FILE, _MANIFEST_PARTS, "start a new run folder")
    if not all(isinstance(manifest[part], dict) for part in ("plugins", "data")):
        raise PiebenchError(f"{folder / MANIFEST_FILE}: is damaged (plugins, data); start a new run folder")
    return manifest

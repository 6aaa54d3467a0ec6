"""What a run leaves on disk: recipe, manifest, edited pictures, a record per edit, scores and table."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.files import append_line, read_json_lines, remove_stale_partials, write_whole
from piebench_eval.runs.recipe import Recipe, build_recipe, read_recipe_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.bench.sample import Sample

FORMAT = 2
"""Version of the folder's layout."""

BENCHMARK_FOLDER = "benchmark"
SCORES_FILE = "scores.csv"
TABLE_FILE = "table.csv"

_MANIFEST_PARTS = {"format", "models", "plugins", "data", "samples", "sessions"}


class RunStore:
    """A run folder.

    Attributes:
        folder: the run folder.
        recipe: the recipe that all its pictures were made by.
    """

    def __init__(self, folder: Path, recipe: Recipe):
        self.folder = folder
        self.recipe = recipe

    @property
    def scores_file(self) -> Path:
        """One row per picture and combination."""
        return self.folder / SCORES_FILE

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a folder holds a run."""
        return (folder / "recipe.yaml").is_file()

    @classmethod
    def read(cls, folder: Path) -> RunStore:
        """Open a run folder as it is.

        Raises:
            PiebenchError: not a run folder, or one of another version.
        """
        if not cls.exists(folder):
            raise PiebenchError(
                f"{folder} is not a run folder (no recipe.yaml); make one with piebench run --out"
            )
        file = folder / "recipe.yaml"
        store = cls(folder, build_recipe(read_recipe_fields(file), {}, str(file)))
        if store.manifest().get("format") != FORMAT:
            raise PiebenchError(f"{folder}: written by another version of piebench; start a new run folder")
        return store

    @classmethod
    def create_or_resume(cls, folder: Path, recipe: Recipe, manifest: dict[str, Any]) -> RunStore:
        """Start a run in an empty folder, or go on with the same recipe, data and model.

        Args:
            folder: the run folder.
            recipe: how pictures are edited.
            manifest: what else determines the numbers, see ``new_manifest``.

        Raises:
            PiebenchError: the folder holds a run by another recipe, on other data or with other weights.
        """
        remove_stale_partials(folder)
        if not cls.exists(folder):
            store = cls(folder, recipe)
            store._write_manifest(manifest)
            write_whole(folder / "recipe.yaml", recipe.to_yaml().encode())
            return store
        store = cls.read(folder)
        store.require_same_recipe(recipe)
        store._continue_manifest(manifest)
        return store

    def require_same_recipe(self, recipe: Recipe) -> None:
        """Refuse to mix two recipes in one folder.

        Raises:
            PiebenchError: the recipes differ; it lists the fields.
        """
        if differences := self.recipe.differences(recipe):
            raise PiebenchError(
                f"{self.folder} holds a run by another recipe; choose another --out, or go back to its "
                "recipe. Differences (there -> now):\n" + "\n".join(f"  {line}" for line in differences)
            )

    def manifest(self) -> dict[str, Any]:
        """Versions, fingerprints, samples and sessions of the run.

        Raises:
            PiebenchError: it is missing or damaged.
        """
        file = self.folder / "manifest.json"
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PiebenchError(f"{file}: missing or damaged ({error}); start a new run folder") from None
        if not isinstance(manifest, dict) or not set(manifest) >= _MANIFEST_PARTS:
            raise PiebenchError(f"{file}: is no manifest of this version; start a new run folder")
        return manifest

    def image_file(self, inversion: str, method: str, sample: Sample) -> Path:
        """Where an edit is kept: the source's path with the suffix of the recipe's image format."""
        suffix = ".png" if self.recipe.image_format == "png" else ".jpg"
        name = Path(sample.image_path).with_suffix(suffix)
        return self.folder / "images" / f"{inversion}+{method}" / name

    def is_done(self, inversion: str, method: str, sample: Sample) -> bool:
        """Whether an edit is finished."""
        return self.image_file(inversion, method, sample).is_file()

    def save_edit(
        self,
        inversion: str,
        method: str,
        sample: Sample,
        image: NDArray[np.uint8],
        record: dict[str, Any],
    ) -> None:
        """Keep an edit: first its record, then its picture, whose presence says that the edit is done.

        Raises:
            PiebenchError: the disk is full, or the folder cannot be written to.
        """
        line = {"id": sample.id, "inversion": inversion, "method": method, **record}
        append_line(self.folder / "records" / "worker-0.jsonl", json.dumps(line))
        write_whole(self.image_file(inversion, method, sample), encode_image(image, self.recipe.image_format))

    def records(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """The newest record of each edit, by (inversion, method, sample id); torn lines are passed over."""
        return {
            (record["inversion"], record["method"], record["id"]): record
            for file in sorted((self.folder / "records").glob("*.jsonl"))
            for record in read_json_lines(file, {"inversion", "method", "id"})
        }

    def use_model(self, model: str, revision: str | None, fingerprint: str | None) -> None:
        """Note which weights the edits that follow are made with.

        Raises:
            PiebenchError: earlier edits of the run were made with others.
        """
        manifest, name = self.manifest(), f"{model}@{revision}" if revision else model
        if manifest["models"].setdefault(name, fingerprint) != fingerprint:
            raise self._changed(f"the files of the model {name}")
        self._write_manifest(manifest)

    def _changed(self, what: str) -> PiebenchError:
        return PiebenchError(
            f"{self.folder}: {what} changed since the run began; choose another --out, or restore it"
        )

    def _write_manifest(self, manifest: dict[str, Any]) -> None:
        content = json.dumps({"format": FORMAT, **manifest}, indent=1)
        write_whole(self.folder / "manifest.json", content.encode())

    def _continue_manifest(self, new: dict[str, Any]) -> None:
        """Add a session and its samples to the manifest, unless it would mix data or weights."""
        old = self.manifest()
        if old["data"]["fingerprint"] != new["data"]["fingerprint"]:
            raise self._changed("the benchmark folder")
        if old["plugins"] != new["plugins"]:
            raise self._changed("a plugin")
        old["data"] = new["data"]
        old["samples"] = list(dict.fromkeys([*old["samples"], *new["samples"]]))
        old["sessions"] += new["sessions"]
        self._write_manifest(old)


def encode_image(image: NDArray[np.uint8], image_format: str) -> bytes:
    """Encode a picture as ``png`` or ``jpeg:QUALITY``."""
    buffer = io.BytesIO()
    if image_format == "png":
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=int(image_format.partition(":")[2]))
    return buffer.getvalue()

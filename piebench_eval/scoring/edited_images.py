"""Find the edited images of a run, of a folder in a usual layout, or of a list."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from piebench_eval.combination_names import REFERENCES, combination_name
from piebench_eval.data.images import ImageLoader
from piebench_eval.data.messages import kind_of
from piebench_eval.data.paths import CaseInsensitiveListing
from piebench_eval.data.pie_bench import IMAGES_FOLDER
from piebench_eval.demo.benchmark import IDEAL_FOLDER
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.records import EditKey, evaluations_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.runs.store.folder import RunStore

_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
_LISTS = (".csv", ".json")


@dataclass(frozen=True)
class EditedImage:
    """An edited image to score.

    Attributes:
        sample: the sample that it is an edit of.
        labels: its label columns beside id and type: inversion and method, or name.
        file: the image file.
        loader: how the source was loaded when it was edited; None for an edit of the whole source, in the
            source's own size.
        may_be_strip: whether the file may be a strip of panels with the edit last, as the reference's
            scripts save them; a run's own images never are.
        ideal: file of the ideal edit, which only drawn benchmarks have.
        resolution: shorter side in pixels that it was made with; None if unknown.
        evaluations: model evaluations that it took; None if unknown.
    """

    sample: Sample
    labels: dict[str, str]
    file: Path
    loader: ImageLoader | None = None
    may_be_strip: bool = True
    ideal: Path | None = None
    resolution: int | None = None
    evaluations: int | None = None

    @property
    def geometry(self) -> str:
        """How edit and source are brought to the same pixels, as text for the cache key."""
        return f"{self.loader}{', a strip' if self.may_be_strip else ''}"


def edited_images_of_run(
    store: RunStore, data: Path | None = None, subset: str | None = None
) -> tuple[list[EditedImage], list[str]]:
    """The edited images of a run, sample by sample, and a line for each that is missing.

    A benchmark with ideal edits (the demo's) adds two reference rows: ``oracle``, the ideal edits, and
    ``source-copy``, the unedited sources. Both are compared with the whole source.

    Args:
        store: the run.
        data: the benchmark folder, if it has moved since the run.
        subset: only those of a fixed subset of the benchmark, see ``select_subset``.

    Raises:
        PiebenchError: the benchmark is missing, is not the one that was edited, or has no such subset.
    """
    folder, samples = dataset_of_run(store, data, subset)
    done = store.scan(samples).done
    loaders = {pair: store.recipe.image_loader(*pair) for pair in store.recipe.pairs}
    edited_images, missing = [], []
    for sample in samples:
        ideal = ideal_of(folder, sample)
        for (inversion, method), loader in loaders.items():
            file = store.image_file(inversion, method, sample)
            labels = {"inversion": inversion, "method": method}
            if record := done.get(EditKey(inversion, method, sample.id)):
                about = record.get("resolution"), evaluations_of(record)
                edited_images.append(EditedImage(sample, labels, file, loader, False, ideal, *about))
            else:
                missing.append(f"{combination_name(inversion, method)}: {file}")
        if ideal is not None:
            edited_images += _reference_images(sample, ideal)
    return edited_images, missing


def ideal_of(folder: Path, sample: Sample) -> Path | None:
    """File of a sample's ideal edit; None if the benchmark has none."""
    ideal = folder / IDEAL_FOLDER / sample.image_path
    return ideal if ideal.is_file() else None


def _reference_images(sample: Sample, ideal: Path) -> list[EditedImage]:
    return [
        EditedImage(sample, {"inversion": "", "method": name}, file, may_be_strip=False, ideal=ideal)
        for name, file in zip(REFERENCES, (ideal, sample.file), strict=True)
    ]


def edited_images_at(
    images: Path, samples: Sequence[Sample], name: str, loader: ImageLoader | None = None
) -> tuple[list[EditedImage], list[str]]:
    """The edited images in a folder or list, and a line for each that is missing.

    Args:
        images: a folder in the official layout, with or without ``annotation_images/``, or with flat names
            ``<id>.png``; or a CSV or JSON file with the file of each id. Ids and suffixes match in upper and
            lower case.
        samples: the samples of the benchmark.
        name: label of the method.
        loader: how the sources were loaded when they were edited; None for edits of whole sources.

    Raises:
        PiebenchError: the folder, file or loader does not exist, an entry of the list is wrong, or two files
            differ only in the case of letters.
    """
    if loader not in (None, *get_args(ImageLoader)):
        raise PiebenchError(f"--image-loader {loader}: use {', '.join(get_args(ImageLoader))}")
    if images.suffix.lower() in _LISTS and images.is_file():
        listed = _read_list(images, {sample.id for sample in samples})
        places = {sample.id: [listed[sample.id]] for sample in samples if sample.id in listed}
    elif images.is_dir():
        places = {sample.id: list(_possible_files(images, sample)) for sample in samples}
    else:
        raise PiebenchError(f"--images {images}: no such folder, and no CSV or JSON file")
    edited_images: list[EditedImage] = []
    missing, others = [], CaseInsensitiveListing()
    for sample in samples:
        file = _existing_file(places.get(sample.id, []), others)
        if file is not None:
            edited_images.append(EditedImage(sample, {"name": name}, file, loader))
        elif sample.id in places:
            missing.append(f"{sample.id}: {places[sample.id][0]}")
        else:
            missing.append(f"{sample.id}: {images} does not name it")
    if not edited_images and images.is_dir():
        _require_names(images, samples)
    return edited_images, missing


def _require_names(images: Path, samples: Sequence[Sample]) -> None:
    """Refuse a folder whose images match no id of the benchmark; the message says what names are expected.

    Raises:
        PiebenchError: there are images, and none matches an id.
    """
    folders = [folder for folder in (images, images / IMAGES_FOLDER) if folder.is_dir()]
    found = sorted(
        file.name for folder in folders for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES
    )
    if found:
        raise PiebenchError(
            f"--images {images}: {len(found)} pictures match no id ({', '.join(found[:3])}, ...); the ids "
            f"look like {', '.join(sample.id for sample in samples[:2])}: rename the pictures, or give a CSV "
            "file with the columns id,file"
        )


def _existing_file(places: Sequence[Path], others: CaseInsensitiveListing) -> Path | None:
    """The first of some paths that exists, otherwise the first that exists in another letter case.

    Raises:
        PiebenchError: two files differ from a path only in the case of letters.
    """
    if file := next(filter(_exists, places), None):
        return file
    for place in places:
        try:
            found = others.files(place.parent, place.name)
        except OSError:
            continue
        if len(found) > 1:
            raise PiebenchError(
                f"{found[0]} and {found[1]} differ in the case of letters only, and either may be "
                f"{place.name}; remove or rename one"
            )
        if found:
            return found[0]
    return None


def _exists(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name that no file can have
        return False


def _possible_files(images: Path, sample: Sample) -> Iterable[Path]:
    """Paths at which a folder may have an edit, the official one first."""
    path = Path(sample.image_path)
    suffixes = dict.fromkeys([path.suffix, *_SUFFIXES])
    for folder in (images, images / IMAGES_FOLDER):
        yield from (folder / path.with_suffix(suffix) for suffix in suffixes)
    yield from (images / f"{sample.id}{suffix}" for suffix in suffixes)


def _read_list(file: Path, known: set[str]) -> dict[str, Path]:
    """Read a list of ids and edited files; relative paths start at the list's folder.

    Raises:
        PiebenchError: the list cannot be read, or one of its entries is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        entries = _json_entries(text) if file.suffix.lower() == ".json" else _csv_entries(text)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise PiebenchError(
            f"{file}: cannot be read ({error}); write columns id,file, or a JSON object"
        ) from None
    places: dict[str, Path] = {}
    for position, (sample_id, path) in enumerate(entries, 1):
        where = f"{file}: entry {position}"
        if not isinstance(sample_id, str) or not isinstance(path, str) or not path or "\0" in path:
            raise PiebenchError(
                f"{where}: must name an id and a file as text, not {_shown(sample_id)} and {_shown(path)}"
            )
        sample_id = _in_benchmark_case(sample_id, known)
        if sample_id not in known:
            raise PiebenchError(f"{where}: the benchmark has no id {sample_id!r}; correct it or leave it out")
        if sample_id in places:
            raise PiebenchError(f"{where}: id {sample_id} is listed twice; leave one out")
        places[sample_id] = file.parent / path
    return places


def _shown(value: Any) -> str:
    """A value for a message."""
    return repr(value) if isinstance(value, str) else kind_of(value)


def _in_benchmark_case(sample_id: str, known: set[str]) -> str:
    """The benchmark's id that equals this one but for upper and lower case, if there is exactly one."""
    if sample_id in known:
        return sample_id
    same = [each for each in known if each.casefold() == sample_id.casefold()]
    return same[0] if len(same) == 1 else sample_id


def _csv_entries(text: str) -> list[tuple[Any, Any]]:
    rows = csv.DictReader(text.splitlines(), strict=True)
    if not {"id", "file"} <= set(rows.fieldnames or ()):
        raise ValueError("its first line does not name the columns id and file")
    return [(row["id"], row["file"]) for row in rows]


def _json_entries(text: str) -> list[tuple[Any, Any]]:
    content = json.loads(text, object_pairs_hook=list)
    if isinstance(content, list) and all(isinstance(pair, tuple) for pair in content):
        return content
    raise ValueError('it is no object such as {"000000000000": "edits/0.png"}')

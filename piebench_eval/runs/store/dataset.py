"""Find and load the benchmark of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import dataset_fingerprint, load_pie_bench
from piebench_eval.data.subsets import SUBSETS, select_subset
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.store.paths import BENCHMARK_FOLDER

if TYPE_CHECKING:
    from piebench_eval.data.sample import Sample
    from piebench_eval.runs.store.folder import RunStore


def dataset_of_run(
    store: RunStore, data: Path | None = None, subset: str | None = None
) -> tuple[Path, list[Sample]]:
    """Load the samples that a run was planned for.

    Args:
        store: the run.
        data: the benchmark folder, if it has moved since the run.
        subset: only those of a fixed subset of the benchmark, see ``select_subset``.

    Returns:
        The benchmark folder, and its planned samples in its order.

    Raises:
        PiebenchError: the benchmark is gone, or is not that of the run; or it has no such subset.
    """
    manifest = store.manifest()
    if not manifest["sessions"]:
        raise PiebenchError(f"{store.folder}: nothing has been edited yet; continue with piebench run")
    folder = data or Path(manifest["sessions"][-1]["data_folder"])
    if not folder.is_dir() and (store.folder / BENCHMARK_FOLDER).is_dir():
        folder = store.folder / BENCHMARK_FOLDER  # the run folder was moved, and its own benchmark with it
    if not folder.is_dir():
        raise PiebenchError(f"{folder}: the run's benchmark folder is gone; give its new place by --data")
    stored = manifest["sessions"][-1].get("mask_size")
    dataset = load_pie_bench(folder, None if stored is None else parse_mask_size(stored))
    if dataset_fingerprint(dataset) != manifest["data"]["fingerprint"]:
        raise PiebenchError(
            f"{folder} is not the data that {store.folder} edited; restore it, or give --data"
        )
    planned = set(manifest["samples"])
    selected = dataset if subset is None else select_subset(dataset, subset)
    return folder, [sample for sample in selected if sample.id in planned]


def subset_of_run(store: RunStore) -> str | None:
    """The fixed subset that all of a run's sessions selected; None if one selected other samples.

    The largest if there are several: each contains the smaller ones.
    """
    named = [session.get("subset") for session in store.manifest()["sessions"]]
    if not named or not all(name in SUBSETS for name in named):
        return None
    return max(named, key=list(SUBSETS).index)

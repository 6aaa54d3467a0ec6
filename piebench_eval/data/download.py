"""PIE-Bench++ from the Hub, as a benchmark folder that knows where it is from."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from piebench_eval.data.atomic_folder import require_new, whole_folder
from piebench_eval.data.hub import fetch_file, list_dataset
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.pie_bench_pp import CONFIGS, NOTES, write_official_folder
from piebench_eval.data.summary import summarise
from piebench_eval.errors import DataError, PiebenchError
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from piebench_eval.data.hub import HubFile, HubListing
    from piebench_eval.data.summary import TypeSummary

REPO_ID = "UB-CVML-Group/PIE_Bench_pp"
LICENCE = "cc-by-sa-4.0"
SOURCE_FILE = "SOURCE.json"
"""Beside the mapping file: dataset, commit, licence, checksums, and what the conversion did."""

_FILE = re.compile(r"([^/]+)/V1-[\w.-]+\.parquet")


def fetch_pie_bench_pp(
    folder: Path,
    progress: Callable[[str, int, int], None],
    revision: str | None = None,
    endpoint: str | None = None,
) -> list[TypeSummary]:
    """Fetch PIE-Bench++ and convert it to the official layout.

    Files are fetched into a folder beside the new one, FOLDER.download, which is kept until all is done: a
    call after an interrupted one fetches only what is lacking.

    Args:
        folder: the new benchmark folder.
        progress: is told what is done now, and how many files of how many are through with it.
        revision: branch, tag or commit of the dataset; None is the main branch.
        endpoint: the Hub's address; None is the public one, or what HF_ENDPOINT names.

    Returns:
        What the new folder holds, by editing type.

    Raises:
        DataError: the dataset does not hold what it should.
        PiebenchError: no network, no such revision, damaged files, a full disk, or the folder holds something
            already.
    """
    require_new(folder)
    listing = list_dataset(REPO_ID, revision, endpoint)
    wanted = _wanted_files(listing)
    download = folder.resolve().with_name(f"{folder.resolve().name}.download")
    if download.exists() and not (download / ".cache" / "huggingface").is_dir():
        raise PiebenchError(f"{download} is needed for the download and holds something else; move it away")
    parquet: dict[str, list[Path]] = {config: [] for config in CONFIGS}
    for done, (config, file) in enumerate(wanted, start=1):
        parquet[config].append(fetch_file(listing, file, download, endpoint))
        progress("fetching", done, len(wanted))
    with whole_folder(folder) as partial:
        write_official_folder(parquet, partial, lambda done, total: progress("converting", done, total))
        (partial / SOURCE_FILE).write_text(_provenance(listing, wanted), encoding="utf-8")
        try:
            summaries = summarise(load_pie_bench(partial, check_masks=False))
        except DataError as error:
            raise DataError([text.replace(str(partial), REPO_ID) for text in error.problems]) from None
    shutil.rmtree(download, ignore_errors=True)
    return summaries


def _wanted_files(listing: HubListing) -> list[tuple[str, HubFile]]:
    """The dataset's parquet files with the part each belongs to, in the official order.

    Raises:
        PiebenchError: a part has none.
    """
    wanted = [
        (config, file)
        for config in CONFIGS
        for file in sorted(listing.files, key=lambda file: file.path)
        if (match := _FILE.fullmatch(file.path)) and match[1] == config
    ]
    if lacking := [config for config in CONFIGS if config not in {config for config, _ in wanted}]:
        raise PiebenchError(
            f"dataset {listing.repo_id}: has no file {lacking[0]}/V1-*.parquet at commit {listing.commit}; "
            "give a --revision that has"
        )
    return wanted


def _provenance(listing: HubListing, files: list[tuple[str, HubFile]]) -> str:
    source = {
        "dataset": f"https://huggingface.co/datasets/{listing.repo_id}",
        "repo_id": listing.repo_id,
        "revision": listing.commit,
        "license": LICENCE,
        "sha256": {file.path: file.sha256 for _, file in files},
        "piebench_eval": __version__,
        "conversion": NOTES,
    }
    return json.dumps(source, indent=1)

"""Download PIE-Bench++ from the Hugging Face Hub as a benchmark folder in the official layout."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from piebench_eval.data.atomic_folder import atomic_folder, require_new
from piebench_eval.data.hub_errors import hub_errors
from piebench_eval.data.pie_bench_pp import CONFIGS, NOTES, write_official_folder
from piebench_eval.data.summary import summarise_new_folder
from piebench_eval.errors import PiebenchError
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from piebench_eval.data.summary import TypeSummary

REPO_ID = "UB-CVML-Group/PIE_Bench_pp"
LICENCE = "cc-by-sa-4.0"
SOURCE_FILE = "SOURCE.json"
"""Beside the mapping file: dataset, commit, licence, checksums and notes on the conversion."""

_FILE = re.compile(r"([^/]+)/V1-[\w.-]+\.parquet")
_TIMEOUT_SECONDS = 30
_RETRY = "downloaded files are kept: run the same command again"


def fetch_pie_bench_pp(
    folder: Path,
    progress: Callable[[str, int, int], None],
    revision: str | None = None,
    endpoint: str | None = None,
) -> list[TypeSummary]:
    """Download PIE-Bench++ and convert it to the official layout.

    Files are downloaded to FOLDER.download, which is removed at the end: after an interruption, the next call
    downloads only the missing files.

    Args:
        folder: the new benchmark folder.
        progress: called with the current stage, the files done and the total number of files.
        revision: branch, tag or commit of the dataset; None is the main branch.
        endpoint: the Hub's address; None is the public one, or that of HF_ENDPOINT.

    Returns:
        A summary of the new folder, by editing type.

    Raises:
        DataError: the dataset's files are not as expected.
        PiebenchError: no network, no such revision, damaged files, a full disk, or the folder is not empty.
    """
    require_new(folder)
    commit, checksums = _list_files(revision, endpoint)
    files = _files_by_config(commit, checksums)
    download = folder.resolve().with_name(f"{folder.resolve().name}.download")
    if download.exists() and not (download / ".cache" / "huggingface").is_dir():
        raise PiebenchError(f"{download} is needed for the download and holds something else; move it away")
    wanted = {path: checksums[path] for paths in files.values() for path in paths}
    _download(wanted, commit, download, lambda done: progress("fetching", done, len(wanted)), endpoint)
    _verify(wanted, download)
    with atomic_folder(folder) as partial:
        parquet = {config: [download / path for path in paths] for config, paths in files.items()}
        write_official_folder(parquet, partial, lambda done, total: progress("converting", done, total))
        (partial / SOURCE_FILE).write_text(_provenance(commit, wanted), encoding="utf-8")
        summaries = summarise_new_folder(partial, REPO_ID)
    shutil.rmtree(download, ignore_errors=True)
    return summaries


def _list_files(revision: str | None, endpoint: str | None) -> tuple[str, dict[str, str]]:
    """The commit of a revision, and the SHA-256 of each of its large files, by path."""
    from huggingface_hub import HfApi

    with hub_errors(REPO_ID, revision, _RETRY):
        info = HfApi(endpoint=endpoint).dataset_info(
            REPO_ID, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
        checksums = {file.rfilename: file.lfs.sha256 for file in info.siblings or () if file.lfs}
    if info.sha is None:
        raise PiebenchError(f"dataset {REPO_ID}: the Hub names no commit; check HF_ENDPOINT")
    return info.sha, checksums


def _files_by_config(commit: str, checksums: Mapping[str, str]) -> dict[str, list[str]]:
    """Paths of the parquet files of each of ``CONFIGS``."""
    files: dict[str, list[str]] = {config: [] for config in CONFIGS}
    for path in sorted(checksums):
        if (match := _FILE.fullmatch(path)) and match[1] in files:
            files[match[1]].append(path)
    if missing := [config for config, paths in files.items() if not paths]:
        raise PiebenchError(
            f"dataset {REPO_ID}: has no file {missing[0]}/V1-*.parquet at commit {commit}; "
            "give a --revision that has"
        )
    return files


def _download(
    wanted: Mapping[str, str],
    commit: str,
    folder: Path,
    progress: Callable[[int], None],
    endpoint: str | None,
) -> None:
    """Download files that the folder lacks; a broken connection resumes where it broke."""
    from huggingface_hub import snapshot_download
    from tqdm import tqdm

    class FileCount(tqdm):
        """Forwards the count of files to ``progress``; draws nothing."""

        def __init__(self, *args: Any, **options: Any) -> None:
            quiet = {"file": io.StringIO(), "disable": False, "mininterval": 0, "miniters": 1}
            super().__init__(*args, **{**options, **quiet})

        def update(self, n: float | None = 1) -> Any:
            updated = super().update(n)
            if self.unit == "it":  # the other bars count bytes
                progress(int(self.n))
            return updated

    with hub_errors(REPO_ID, commit, _RETRY):
        snapshot_download(
            REPO_ID,
            repo_type="dataset",
            revision=commit,
            local_dir=folder,
            allow_patterns=list(wanted),
            max_workers=1,  # an interrupt waits for the files in progress
            tqdm_class=FileCount,
            endpoint=endpoint,
        )


def _verify(checksums: Mapping[str, str], folder: Path) -> None:
    """Compare downloaded files with the Hub's SHA-256; a damaged file is removed.

    Raises:
        PiebenchError: a file is missing or damaged.
    """
    for path, expected in checksums.items():
        file = folder / path
        try:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != expected:
                file.unlink()
        except OSError as error:
            raise PiebenchError(f"{file}: cannot be checked ({error.strerror}); {_RETRY}") from None
        if digest != expected:
            raise PiebenchError(
                f"{file}: is damaged (its SHA-256 is {digest}, the Hub lists {expected}); the file is "
                "removed, the others are kept: run the same command again"
            )


def _provenance(commit: str, checksums: Mapping[str, str]) -> str:
    source = {
        "dataset": f"https://huggingface.co/datasets/{REPO_ID}",
        "repo_id": REPO_ID,
        "revision": commit,
        "license": LICENCE,
        "sha256": dict(checksums),
        "piebench_eval": __version__,
        "conversion": NOTES,
    }
    return json.dumps(source, indent=1)

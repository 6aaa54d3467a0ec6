"""Packs in dataset repositories of the Hugging Face Hub: upload one, and fetch one as a run folder."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.data.atomic_folder import atomic_folder
from piebench_eval.data.hub_errors import hub_errors
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.demo.embedded import is_embedded
from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.files import read_json_object
from piebench_eval.models.hub import require_repository
from piebench_eval.packs.layout import CARD_FILE, SUFFIX
from piebench_eval.packs.reading import unpack
from piebench_eval.packs.verify import files_and_parts
from piebench_eval.runs.store.paths import BENCHMARK_FOLDER, SCORES_FILE, holds_run

if TYPE_CHECKING:
    from piebench_eval.packs.checks import Pack
    from piebench_eval.packs.reading import Unpacked

HUB = "hub:"
"""Prefix of a dataset repository in the place of a run folder, as in ``hub:OWNER/NAME``."""

SOURCE_FILE = "SOURCE.json"
"""In a fetched run: repository, commit and pack that it is from."""

CLAIMED_SCORES = "claimed-scores.csv"
"""In a fetched run: the scores of whoever published it."""

_RETRY = "run the same command again"
_TIMEOUT_SECONDS = 30
_SHOWN = 5


@dataclass(frozen=True)
class Pushed:
    """An upload.

    Attributes:
        repo: the dataset repository.
        commit: the commit that added the pack.
        url: the repository's page.
    """

    repo: str
    commit: str
    url: str


def push_pack(repo: str, archive: Path, private: bool = False, endpoint: str | None = None) -> Pushed:
    """Upload a pack, with its card as the repository's; a repository that is not there is created.

    Args:
        repo: ``OWNER/NAME``.
        archive: the pack; one whose files do not belong together is not uploaded.
        private: whether a repository that is created is seen by its owner alone.
        endpoint: the Hub's address; None is the public one, or that of HF_ENDPOINT.

    Raises:
        PiebenchError: the pack does not hold, you may not write there, or the Hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    require_repository(repo)
    with tempfile.TemporaryDirectory(prefix="piebench-push-") as folder:
        unpacked = unpack(archive, Path(folder))
        _require_whole(unpacked, archive)
        card = (unpacked.folder / CARD_FILE).read_bytes()
    api = HfApi(endpoint=endpoint)
    with hub_errors(repo, None, _RETRY):
        page = api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True)
        added = api.create_commit(
            repo,
            [
                CommitOperationAdd(CARD_FILE, card),
                CommitOperationAdd(archive.name, str(archive)),
            ],
            commit_message=f"Add {archive.name}",
            repo_type="dataset",
        )
    return Pushed(repo, added.oid, str(page))


def fetch_run(reference: str, endpoint: str | None = None) -> Path:
    """Fetch a pack from the Hub and unpack it as a run folder, ``OWNER--NAME`` in the current folder.

    Whoever published it has scored it: those scores become ``claimed-scores.csv``.

    Args:
        reference: ``hub:OWNER/NAME``, or ``hub:OWNER/NAME/FILE`` where the repository has several packs.
        endpoint: the Hub's address; None is the public one, or that of HF_ENDPOINT.

    Returns:
        The run folder; one that was fetched before is used again if the repository has not changed.

    Raises:
        PiebenchError: the repository has no pack, or several, or one without pictures; the pack does not
            hold; the Hub cannot be reached; or the folder holds something else.
    """
    repo, file = _parse(reference)
    commit, file = _find(repo, file, endpoint)
    source = {"repository": repo, "commit": commit, "pack": file}
    folder = Path(repo.replace("/", "--"))
    if holds_run(folder):
        if _source_of(folder) != source:
            raise PiebenchError(
                f"{folder}: holds another run or revision than {reference} (commit {commit}); move it away, "
                f"and {_RETRY}"
            )
        return folder
    with atomic_folder(folder) as partial, tempfile.TemporaryDirectory(prefix="piebench-fetch-") as download:
        unpacked = unpack(_download(repo, commit, file, Path(download), endpoint), partial)
        pack = _require_whole(unpacked, reference)
        _become_run(pack)
        (partial / SOURCE_FILE).write_text(json.dumps(source, indent=1), encoding="utf-8")
    return folder


def _become_run(pack: Pack) -> None:
    """Make a run folder of an unpacked pack: its scores get another name, and a demo's benchmark is drawn.

    Raises:
        PiebenchError: it has no pictures.
    """
    folder = pack.store.folder
    if not pack.about["pictures"]:
        raise PiebenchError(
            f"{pack.about['name']}: its pictures are not in the pack, so nobody can score them"
        )
    claimed = folder / CLAIMED_SCORES
    (folder / SCORES_FILE).rename(claimed)
    (folder / SCORES_FILE).with_suffix(".json").rename(claimed.with_suffix(".json"))
    if is_embedded(pack.store.recipe.model):
        embedded_benchmark(folder / BENCHMARK_FOLDER)


def _parse(reference: str) -> tuple[str, str | None]:
    """The repository and the file of a reference."""
    owner, _, rest = reference.removeprefix(HUB).partition("/")
    name, _, file = rest.partition("/")
    repo = f"{owner}/{name}" if name else owner
    require_repository(repo)
    return repo, file or None


def _find(repo: str, file: str | None, endpoint: str | None) -> tuple[str, str]:
    """The repository's newest commit, and the pack in it."""
    from huggingface_hub import HfApi

    with hub_errors(repo, None, _RETRY):
        info = HfApi(endpoint=endpoint).dataset_info(repo, timeout=_TIMEOUT_SECONDS)
    packs = sorted(each.rfilename for each in info.siblings or () if each.rfilename.endswith(SUFFIX))
    if file is None and len(packs) > 1:
        raise PiebenchError(
            f"dataset {repo}: has several packs ({first_few(packs, _SHOWN)}); name one: "
            f"{HUB}{repo}/{packs[0]}"
        )
    found = file or (packs[0] if packs else None)
    if found not in packs:
        raise PiebenchError(
            f"dataset {repo}: has no pack {found or f'(no file *{SUFFIX})'}; name a repository that piebench "
            "push has uploaded one to"
        )
    return str(info.sha), found


def _download(repo: str, commit: str, file: str, folder: Path, endpoint: str | None) -> Path:
    from huggingface_hub import HfApi

    with hub_errors(repo, commit, _RETRY):
        downloaded = HfApi(endpoint=endpoint).hf_hub_download(
            repo, file, repo_type="dataset", revision=commit, local_dir=folder
        )
    return Path(downloaded)


def _require_whole(unpacked: Unpacked, name: object) -> Pack:
    """The pack, if all its parts belong together.

    Raises:
        PiebenchError: they do not.
    """
    checks, pack = files_and_parts(unpacked)
    wrong = [f"{check.name}: {check.detail}" for check in checks if check.passed is False]
    if pack is None or wrong:
        raise PiebenchError(
            f"{name}: does not hold ({first_few(wrong, _SHOWN, '; ')}); ask for another, or make it again "
            "with piebench pack"
        )
    return pack


def _source_of(folder: Path) -> object:
    try:
        return read_json_object(folder / SOURCE_FILE, {"repository"}, "")
    except PiebenchError:
        return None

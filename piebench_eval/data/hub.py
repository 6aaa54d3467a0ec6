"""Files of a dataset on the Hugging Face Hub: listed, fetched, and held against their checksums."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.data.names import shown
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIMEOUT_SECONDS = 30
_AGAIN = "what is fetched is kept: run the same command again"


@dataclass(frozen=True)
class HubFile:
    """A large file of a dataset.

    Attributes:
        path: inside the dataset, with forward slashes.
        sha256: of its content, in hexadecimal digits.
    """

    path: str
    sha256: str


@dataclass(frozen=True)
class HubListing:
    """What a dataset holds at one commit.

    Attributes:
        repo_id: OWNER/NAME.
        commit: the commit, whatever branch or tag was asked for.
        files: its large files (those that the Hub knows the SHA-256 of).
    """

    repo_id: str
    commit: str
    files: tuple[HubFile, ...]


def list_dataset(repo_id: str, revision: str | None = None, endpoint: str | None = None) -> HubListing:
    """Ask the Hub what a dataset holds.

    Args:
        repo_id: OWNER/NAME.
        revision: branch, tag or commit; None is the main branch.
        endpoint: the Hub's address; None is the public one, or what HF_ENDPOINT names.

    Raises:
        PiebenchError: no network, no such dataset or revision, or an answer of another kind.
    """
    from huggingface_hub import HfApi

    with _explained(repo_id, revision):
        info = HfApi(endpoint=endpoint).dataset_info(
            repo_id, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
        files = [HubFile(found.rfilename, found.lfs.sha256) for found in info.siblings or () if found.lfs]
    if info.sha is None:
        raise PiebenchError(f"dataset {repo_id}: the Hub names no commit; check HF_ENDPOINT")
    return HubListing(repo_id, info.sha, tuple(files))


def fetch_file(listing: HubListing, file: HubFile, folder: Path, endpoint: str | None = None) -> Path:
    """Fetch a file, unless it lies in the folder whole.

    A connection that breaks in the middle of a file is taken up again where it broke.

    Args:
        listing: the dataset.
        file: one of its files.
        folder: where to; the file keeps its path below it.
        endpoint: as for ``list_dataset``.

    Returns:
        The file on disk.

    Raises:
        PiebenchError: no network, a full disk, or other bytes than the Hub lists (these are removed).
    """
    from huggingface_hub import HfApi

    with _explained(listing.repo_id, listing.commit):
        fetched = folder / file.path
        HfApi(endpoint=endpoint).hf_hub_download(
            listing.repo_id, file.path, repo_type="dataset", revision=listing.commit, local_dir=folder
        )
        with fetched.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != file.sha256:
            fetched.unlink()
            raise PiebenchError(
                f"{fetched}: is damaged (its SHA-256 is {digest}, the Hub lists {file.sha256}); the file is "
                "removed, the others are kept: run the same command again"
            )
    return fetched


@contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's library and the network raise into a message, and keep its own warnings quiet."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = f"dataset {repo_id}"
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except PiebenchError:
        raise
    except RevisionNotFoundError:
        raise PiebenchError(
            f"{name}: has no revision {shown(str(revision))}; give a branch, tag or commit of "
            f"https://huggingface.co/datasets/{repo_id}/commits"
        ) from None
    except (GatedRepoError, RepositoryNotFoundError):
        raise PiebenchError(
            f"{name}: the Hub does not know it, or does not show it to you; check HF_ENDPOINT and HF_TOKEN "
            "if they are set"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise PiebenchError(f"{name}: the Hub answers with error {status}; {_AGAIN} later") from None
    except Exception as error:  # three network libraries are at work below, each with errors of its own
        if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError):
            raise PiebenchError(
                f"{error.filename or name}: cannot be written ({error.strerror}); make room or allow writing "
                f"there; {_AGAIN}"
            ) from None
        reason = shown(str(error).strip().split("\n")[0]) or type(error).__name__
        raise PiebenchError(
            f"{name}: the Hub cannot be reached ({reason}); check the network; {_AGAIN}"
        ) from None
    finally:
        logger.setLevel(level)

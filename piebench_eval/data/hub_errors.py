"""Errors of the Hugging Face Hub's library and of the network, in plain words."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from piebench_eval.data.messages import printable
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def hub_errors(repo_id: str, revision: str | None, retry: str) -> Iterator[None]:
    """Raise errors of the Hub's library and the network as PiebenchError, and silence its warnings.

    Args:
        repo_id: the dataset repository.
        revision: its revision, if one is asked for.
        retry: what is kept and what to do, which ends the messages.
    """
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
    except RevisionNotFoundError:
        raise PiebenchError(
            f"{name}: has no revision {printable(str(revision))}; give a branch, tag or commit of "
            f"https://huggingface.co/datasets/{repo_id}/commits"
        ) from None
    except (GatedRepoError, RepositoryNotFoundError):
        raise PiebenchError(
            f"{name}: the Hub does not know it, or does not show it to you; check HF_ENDPOINT and HF_TOKEN "
            "if they are set"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise PiebenchError(
                f"{name}: the Hub does not let you (error {status}); log in with hf auth login, or set "
                "HF_TOKEN"
            ) from None
        raise PiebenchError(f"{name}: the Hub answers with error {status}; {retry} later") from None
    except Exception as error:  # three network libraries are in use, each with its own errors
        if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError):
            raise PiebenchError(
                f"{error.filename or name}: cannot be written ({error.strerror}); make room or allow writing "
                f"there; {retry}"
            ) from None
        reason = printable(str(error).strip().split("\n")[0]) or type(error).__name__
        raise PiebenchError(
            f"{name}: the Hub cannot be reached ({reason}); check the network; {retry}"
        ) from None
    finally:
        logger.setLevel(level)

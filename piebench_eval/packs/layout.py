"""Names of the files in a pack. But for the first three, they are those of a run folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.store.paths import MANIFEST_FILE, RECIPE_FILE, SCORES_FILE

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".piebench.zip"
FORMAT = 1
"""Version of the pack's layout."""

CARD_FILE = "README.md"
"""Describes the run, with front matter as dataset repositories of the Hugging Face Hub have it."""

ABOUT_FILE = "pack.json"
"""What the pack claims of itself: edits, missing edits, means."""

CHECKSUMS_FILE = "SHA256SUMS"
"""A line per other file, as ``sha256sum --check`` reads it."""

RECORDS_FILE = "records/records.jsonl"
SCORES_ABOUT_FILE = "scores.json"

_NAMED = {
    *(CARD_FILE, ABOUT_FILE, CHECKSUMS_FILE, RECORDS_FILE),
    *(RECIPE_FILE, MANIFEST_FILE, SCORES_FILE, SCORES_ABOUT_FILE),
}
_OTHERS = re.compile(r"sessions/\d{4}\.json|images/.+\.(?:png|jpg)")


def belongs_to_pack(path: str) -> bool:
    """Whether a pack can have a file of this path.

    >>> belongs_to_pack("images/direct+p2p/1.png"), belongs_to_pack("setup.py")
    (True, False)
    """
    return path in _NAMED or _OTHERS.fullmatch(path) is not None


def require_pack(file: Path) -> None:
    """Check that a pack's file exists.

    Raises:
        PiebenchError: it does not.
    """
    if not file.is_file():
        raise PiebenchError(f"{file}: there is no such file; name a pack, NAME{SUFFIX}")


def require_pack_name(file: Path) -> None:
    """Check that a file may become a pack.

    Raises:
        PiebenchError: its name does not end as packs' names do, or it is a folder.
    """
    if not file.name.endswith(SUFFIX) or file.name == SUFFIX or file.is_dir():
        raise PiebenchError(f"--out {file}: name a file that ends in {SUFFIX}, as in NAME{SUFFIX}")


def is_picture(path: str) -> bool:
    """Whether a file of a pack is an edited picture."""
    return path.startswith("images/")

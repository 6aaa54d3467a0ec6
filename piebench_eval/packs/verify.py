"""Verify a pack: unpack it, and make every check that is asked for and can be made."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.packs.checks import UNREADABLE, check_files, check_parts, read_pack
from piebench_eval.packs.layout import require_pack
from piebench_eval.packs.levels import Check, Level, reached
from piebench_eval.packs.reading import unpack
from piebench_eval.packs.remaking import remake
from piebench_eval.packs.rescoring import rescore
from piebench_eval.packs.writing import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from piebench_eval.packs.checks import Pack
    from piebench_eval.packs.reading import Unpacked
    from piebench_eval.packs.remaking import Remaking
    from piebench_eval.packs.rescoring import Rescoring

_BEFORE = "the checks before it do not all hold"
_NOT_SCORED = Check("pictures re-scored", Level.RESCORED, None, _BEFORE)
_NOT_MADE = Check("edits re-made", Level.REMADE, None, _BEFORE)


@dataclass(frozen=True)
class Verification:
    """What was found in a pack.

    Attributes:
        pack: the archive.
        sha256: its SHA-256, by which it can be cited.
        checks: every check.
    """

    pack: Path
    sha256: str
    checks: list[Check]

    @property
    def level(self) -> Level:
        """How far the pack is verified."""
        return reached(self.checks)

    @property
    def failed(self) -> list[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if check.passed is False]


def verify_pack(
    archive: Path,
    data: Path | None = None,
    rescoring: Rescoring | None = None,
    remaking: Remaking | None = None,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Verification:
    """Verify a pack in a temporary folder, which is removed.

    Nothing is scored or edited by a pack whose parts do not belong together.

    Args:
        archive: the pack.
        data: the benchmark folder; None for that of the demo, or the run's name of it.
        rescoring: how pictures are scored again; None for not at all.
        remaking: how edits are made again; None for not at all.
        on_progress: called with what is being done, how many are done, and of how many.

    Raises:
        PiebenchError: the archive is no pack, or must not be unpacked; or a named network cannot be loaded.
    """
    require_pack(archive)
    digest = sha256_of(archive)
    with tempfile.TemporaryDirectory(prefix="piebench-verify-") as folder:
        unpacked = unpack(archive, Path(folder))
        checks, pack = files_and_parts(unpacked)
        holds = pack is not None and all(check.passed for check in checks)
        if rescoring is not None:
            checks.append(rescore(pack, rescoring, data, on_progress) if pack and holds else _NOT_SCORED)
        if remaking is not None:
            checks.append(remake(pack, remaking, data, on_progress) if pack and holds else _NOT_MADE)
    return Verification(archive, digest, checks)


def files_and_parts(unpacked: Unpacked) -> tuple[list[Check], Pack | None]:
    """The checks that need nothing but the pack's files, and the pack; None if it cannot be read."""
    checks = [check_files(unpacked)]
    try:
        pack = read_pack(unpacked)
    except PiebenchError as error:
        reason = str(error).replace(f"{unpacked.folder}/", "").replace(str(unpacked.folder), "the pack")
    except UNREADABLE as error:
        reason = f"cannot be read ({type(error).__name__}: {error})"
    else:
        return [*checks, *check_parts(pack)], pack
    return [*checks, Check("parts", Level.SCORES_GIVEN, False, reason)], None

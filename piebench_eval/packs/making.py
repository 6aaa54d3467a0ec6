"""Make a pack of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.packs.contents import gather
from piebench_eval.packs.layout import SUFFIX, require_pack_name
from piebench_eval.packs.writing import write_archive

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class MadePack:
    """A pack that was made.

    Attributes:
        file: the archive.
        sha256: its SHA-256.
        edits: how many edits it is of.
        missing: how many planned edits the run lacks.
        size: bytes of the archive.
    """

    file: Path
    sha256: str
    edits: int
    missing: int
    size: int


def pack_run(run: Path, out: Path, data: Path | None = None, pictures: bool = True) -> MadePack:
    """Pack a scored run into one archive: the same run gives the same bytes.

    Args:
        run: the run folder.
        out: the archive; its name without the suffix is the pack's.
        data: the benchmark folder, if it has moved since the run.
        pictures: whether the pictures go along; their checksums do in any case.

    Raises:
        PiebenchError: see ``gather`` and ``write_archive``; or the name does not end as packs' names do.
    """
    require_pack_name(out)
    contents = gather(run, out.name.removesuffix(SUFFIX), data, pictures)
    digest = write_archive(out, contents.files)
    missing = sum(map(len, contents.missing.values()))
    return MadePack(out, digest, contents.edits, missing, out.stat().st_size)

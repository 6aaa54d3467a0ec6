"""Fixed small subsets of a benchmark, for a quick look: ``quick-70`` and ``quick-140``.

Of PIE-Bench, their ids are listed in ``subset_ids/``: a tenth and a fifth of its 700 pictures. Of any other
benchmark, the same shares are taken by the rule that chose the lists, see ``in_turn``.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.data.sample import Sample

SUBSETS = {"quick-70": 10, "quick-140": 5}
"""Of how many pictures each takes one, the smallest subset first; each contains those before it."""

_PIE_BENCH_ID = re.compile(
    r"0{9}(?:0\d\d|1[0-3]\d)"  # 140 of type 0
    r"|[12389][12][1-4]0{8}\d"  # 80 of each of these: artificial or natural, four motifs, 10 of each
    r"|[4-7][12][1-4]0{8}[0-4]"  # 40 of each of these
)
"""The ids of PIE-Bench's 700 pictures: type, artificial (1) or natural (2), motif (1 to 4: animal, human,
indoor, outdoor), and a number. Those of type 0 are only numbered."""

_FOLDERS = 2
"""Folders of a picture's path that count below its type's: in PIE-Bench artificial or natural, and motif."""


def select_subset(samples: Sequence[Sample], name: str) -> list[Sample]:
    """The samples of a subset, in the benchmark's order.

    A benchmark that has all listed ids, or no other ids than PIE-Bench's, is PIE-Bench or a part of it: the
    listed ids that it has are the subset, whatever else it lacks.

    Args:
        samples: all samples of the benchmark.
        name: one of ``SUBSETS``.

    Raises:
        PiebenchError: there is no such subset, or the benchmark has none of its pictures.
    """
    require_subset(name)
    listed, known = listed_ids(name), {sample.id for sample in samples}
    if listed <= known or all(_PIE_BENCH_ID.fullmatch(sample_id) for sample_id in known):
        chosen = listed & known
        if not chosen:
            raise PiebenchError(
                f"--subset {name}: the benchmark has none of its {len(listed)} pictures of PIE-Bench; leave "
                "--subset out, or take --limit"
            )
    else:
        number = max(1, round(len(samples) / SUBSETS[name]))
        chosen = frozenset(sample.id for sample in in_turn(samples)[:number])
    return [sample for sample in samples if sample.id in chosen]


def require_subset(name: str) -> None:
    """Check that a subset exists.

    Raises:
        PiebenchError: it does not.
    """
    if name not in SUBSETS:
        raise PiebenchError(f"--subset {name}: there is no such subset; use {' or '.join(SUBSETS)}")


@cache
def listed_ids(name: str) -> frozenset[str]:
    """The ids of PIE-Bench that belong to a subset."""
    file = Path(__file__).parent / "subset_ids" / f"{name}.txt"
    return frozenset(file.read_text(encoding="utf-8").split())


def in_turn(samples: Sequence[Sample]) -> list[Sample]:
    """All samples in such an order that any first ones of them are stratified.

    Editing types take turns in proportion to their sizes, and so do the folders of pictures within a type
    (in PIE-Bench artificial and natural, then motifs). Within a folder, ids are ordered by their SHA-256,
    which does not depend on what else there is.
    """
    return _in_turn(samples, (lambda sample: sample.type_id, *(partial(_folder, n) for n in range(_FOLDERS))))


def _in_turn(
    samples: Sequence[Sample], levels: Sequence[Callable[[Sample], str]], within: str = ""
) -> list[Sample]:
    if not levels:
        return sorted(samples, key=lambda sample: _digest(sample.id))
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(f"{within}/{levels[0](sample)}", []).append(sample)
    placed = [
        ((place + 0.5) / len(group), _digest(name), sample)
        for name, group in groups.items()
        for place, sample in enumerate(_in_turn(group, levels[1:], name))
    ]
    return [sample for *_, sample in sorted(placed, key=lambda each: each[:2])]


def _folder(depth: int, sample: Sample) -> str:
    """A folder of the sample's picture, counted below the first, which is that of its type; empty if none."""
    folders = PurePosixPath(sample.image_path).parent.parts[1:]
    return folders[depth] if depth < len(folders) else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

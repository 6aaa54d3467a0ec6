"""Select samples of a benchmark by editing type, id, number or the name of a fixed subset."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest

from piebench_eval.data.sample import TYPE_NAMES, Sample
from piebench_eval.data.subsets import select_subset
from piebench_eval.errors import PiebenchError


def type_ids(types: Iterable[str]) -> list[str]:
    """Convert numbers and names of editing types to their numbers.

    A name is one of ``TYPE_NAMES``, with blanks, ``_`` or ``-`` between its words, or a word that only one
    name has. Anything else is returned unchanged.

    >>> type_ids(["8", "style", "change_object", "colour"])
    ['8', '9', '1', 'colour']
    """
    return [_type_id(one) for one in types]


def _type_id(wanted: str) -> str:
    words = re.split(r"[\s_-]+", wanted.strip().casefold())
    whole = [number for number, name in TYPE_NAMES.items() if name.split() == words]
    by_word = [number for number, name in TYPE_NAMES.items() if set(words) <= set(name.split())]
    found = whole or by_word
    return found[0] if len(found) == 1 else wanted


def select_samples(
    samples: Sequence[Sample],
    types: Collection[str] | None = None,
    ids: Collection[str] | None = None,
    limit: int | None = None,
    subset: str | None = None,
) -> list[Sample]:
    """Select samples by editing type and id, at most ``limit``, in the benchmark's order.

    With a limit, editing types take turns (the first sample of each, then the second of each, ...), so that a
    small selection covers all types and is always the same.

    Args:
        samples: all samples of the benchmark.
        types: numbers or names of editing types, see ``type_ids``; None for all.
        ids: sample ids; None for all.
        limit: maximum number of samples.
        subset: name of a fixed subset in place of all these, see ``select_subset``.

    Raises:
        PiebenchError: the benchmark has no such id, type or subset, no sample is left, or a subset is to be
            selected further.
    """
    if subset is not None:
        if any(other is not None for other in (types, ids, limit)):
            raise PiebenchError(
                f"--subset {subset}: is fixed, so that its tables can be compared; leave out --types, --ids "
                "and --limit, or --subset"
            )
        return select_subset(samples, subset)
    types = None if types is None else type_ids(types)
    _require_known("id", ids, [sample.id for sample in samples])
    _require_known("editing type", types, [sample.type_id for sample in samples], TYPE_NAMES)
    kept = [
        sample
        for sample in samples
        if (types is None or sample.type_id in types) and (ids is None or sample.id in ids)
    ]
    if not kept:
        raise PiebenchError("the selection is empty: no sample has both a type of --types and an id of --ids")
    if limit is None or limit >= len(kept):
        return kept
    by_type: dict[str, list[Sample]] = {}
    for sample in kept:
        by_type.setdefault(sample.type_id, []).append(sample)
    turns = zip_longest(*(by_type[type_id] for type_id in sorted(by_type)))
    in_turn = [sample for turn in turns for sample in turn if sample is not None]
    chosen = {sample.id for sample in in_turn[:limit]}
    return [sample for sample in kept if sample.id in chosen]


def _require_known(
    what: str, wanted: Collection[str] | None, known: Sequence[str], names: Mapping[str, str] | None = None
) -> None:
    unknown = sorted(set(wanted or ()) - set(known))
    if unknown:
        examples = ", ".join(f"{one} {(names or {}).get(one, '')}".strip() for one in sorted(set(known))[:10])
        raise PiebenchError(
            f"no sample has {what} {', '.join(unknown)}; the data has, for example: {examples}"
        )

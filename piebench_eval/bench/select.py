"""Choosing which samples of a benchmark to work on."""

from collections.abc import Collection, Sequence
from itertools import zip_longest

from piebench_eval.bench.sample import Sample
from piebench_eval.errors import PiebenchError


def select_samples(
    samples: Sequence[Sample],
    types: Collection[str] | None = None,
    ids: Collection[str] | None = None,
    limit: int | None = None,
) -> list[Sample]:
    """Keep samples by editing type and id, at most ``limit`` of them, in the benchmark's order.

    A limit takes turns among the editing types (the first sample of each, then the second of each, ...),
    so that a small selection still covers them all and is the same every time.

    Raises:
        PiebenchError: an id or a type that the benchmark does not have.
    """
    _require_known("id", ids, [sample.id for sample in samples])
    _require_known("editing type", types, [sample.type_id for sample in samples])
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


def _require_known(what: str, wanted: Collection[str] | None, known: Sequence[str]) -> None:
    unknown = sorted(set(wanted or ()) - set(known))
    if unknown:
        examples = ", ".join(sorted(set(known))[:10])
        raise PiebenchError(
            f"no sample has {what} {', '.join(unknown)}; the data has, for example: {examples}"
        )

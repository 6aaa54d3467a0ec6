"""Which pairs of inversion and method have published numbers on PIE-Bench, on which models, and where."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from piebench_eval.models.families import family_of_id
from piebench_eval.tables.paper.further import load_further
from piebench_eval.tables.paper.published import load_published

if TYPE_CHECKING:
    from collections.abc import Mapping

    from piebench_eval.tables.paper.further import FurtherRow

_TABLE_1 = "PnP Inversion (Ju et al., ICLR 2024) Table 1"
_REPORT = "the published reproduction of PnP Inversion"


class Pair(NamedTuple):
    """An inversion with a method, on a family of models; names as in recipes and ``--set family=``."""

    family: str
    inversion: str
    method: str


@dataclass(frozen=True)
class Publication:
    """Where numbers of a pair are printed.

    Attributes:
        by_authors: sources of the authors' own numbers.
        by_others: sources of numbers of those who ran the method again.
        recipes: the package's recipes with published settings.
    """

    by_authors: tuple[str, ...]
    by_others: tuple[str, ...]
    recipes: tuple[str, ...]

    @property
    def where(self) -> str:
        """The sources in words, the authors' own first."""
        again = f"run again in {', '.join(self.by_others)}" if self.by_others else ""
        return "; ".join(filter(None, [", ".join(self.by_authors), again]))


@cache
def published_pairs() -> Mapping[Pair, Publication]:
    """Every pair with published numbers: those of Table 1, and of rows beyond it."""
    found = _of_table_1()
    rows: dict[Pair, list[FurtherRow]] = defaultdict(list)
    for row in load_further():
        for family in _families(row):
            rows[Pair(family, row.inversion, row.method)].append(row)
    return found | {pair: _publication(of_pair) for pair, of_pair in rows.items() if pair not in found}


def _of_table_1() -> dict[Pair, Publication]:
    """Those of the Direct Inversion paper, and what its published reproduction has besides."""
    means = load_published().groupby(["inversion", "method"], sort=False)[["paper", "report"]].count()
    found = {}
    for row in means.reset_index().to_dict(orient="records"):
        own, again = (_TABLE_1,) if row["paper"] else (), (_REPORT,) if row["report"] else ()
        pair = Pair("sd1", row["inversion"], row["method"])
        found[pair] = Publication(own, again, ("paper" if own else "table1",))
    return found


def _publication(rows: list[FurtherRow]) -> Publication:
    by_authors = dict.fromkeys(row.source for row in rows if row.is_authors)
    by_others = dict.fromkeys(row.source for row in rows if not row.is_authors)
    recipes = dict.fromkeys(row.recipe for row in rows if row.recipe)
    return Publication(tuple(by_authors), tuple(by_others), tuple(recipes))


def _families(row: FurtherRow) -> list[str]:
    """The families of a row's models; copies of a model under other names say nothing."""
    return list(dict.fromkeys(family.name for model in row.models if (family := family_of_id(model))))

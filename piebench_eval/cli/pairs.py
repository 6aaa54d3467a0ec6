"""``piebench methods``: which inversion goes with which method on a family, and which pairs are published."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from piebench_eval.cli.console import out
from piebench_eval.cli.grid import print_names_and_marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.models.families import Family

ROWS = "guidance_policy=classifier_free"
"""What some pairs need of a recipe on models that take the guidance scale as an input."""


@dataclass(frozen=True)
class ListedPair:
    """An inversion with a method on a family of models.

    Attributes:
        inversion: its name in recipes.
        method: likewise.
        refused: why they do not go; None if they do.
        needs: the setting with which alone they do; None if they go as they are.
        published: where numbers of theirs on PIE-Bench are printed; None if nowhere known.
        recipes: the package's recipes with their published settings.
    """

    inversion: str
    method: str
    refused: str | None
    needs: str | None
    published: str | None
    recipes: tuple[str, ...]

    @property
    def name(self) -> str:
        """As in folder names and messages: ``direct+p2p``."""
        return f"{self.inversion}+{self.method}"

    @property
    def mark(self) -> str:
        """Its place in the matrix, see ``_LEGEND``."""
        if self.refused is not None:
            return "-"
        return ("P" if self.published else "+") + ("*" if self.needs else "")


_LEGEND = (
    "+ goes, P goes and has published numbers on PIE-Bench, - is refused; "
    f"* needs --set {ROWS}, since the model takes a guidance scale as an input"
)


def pairs_of(family: Family, inversions: Sequence[str], methods: Sequence[str]) -> list[ListedPair]:
    """Every pair on a family, as its models are guided, or by unconditional rows where it needs them."""
    from piebench_eval.recipes.compatibility import pair_misfit, policy_of_pair
    from piebench_eval.tables.paper.pairs import Pair, published_pairs

    def listed(inversion: str, method: str) -> ListedPair:
        policy = policy_of_pair(inversion, method, family)
        refused = None if policy else pair_misfit(inversion, method, family, family.guidance)
        printed = published_pairs().get(Pair(family.name, inversion, method))
        return ListedPair(
            inversion,
            method,
            refused,
            ROWS if policy not in (None, family.guidance) else None,
            printed.where if printed else None,
            printed.recipes if printed else (),
        )

    return [listed(inversion, method) for inversion in inversions for method in methods]


def for_json(pairs: Sequence[ListedPair]) -> list[dict[str, Any]]:
    """The pairs as printed by ``--json``."""
    return [asdict(pair) for pair in pairs]


def print_pairs(pairs_of_families: Mapping[str, Sequence[ListedPair]]) -> None:
    """Print the matrix of each family, and below it where its pairs were published."""
    for family, pairs in pairs_of_families.items():
        _print_matrix(family, [pair for pair in pairs if pair.refused is None])
        for pair in pairs:
            if pair.published:
                recipes = "".join(f", --config {recipe}" for recipe in pair.recipes)
                out.print(f"- {pair.name}{recipes}: {pair.published}", markup=False)
        out.print()
    out.print(_LEGEND, markup=False)


def _print_matrix(family: str, pairs: Sequence[ListedPair]) -> None:
    """Print inversions by methods, without those that go with none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    marks = {(pair.inversion, pair.method): pair.mark for pair in pairs}
    methods = list(dict.fromkeys(pair.method for pair in pairs))
    grid = Table(f"on {family}", box=SIMPLE_HEAD)
    for name in methods:
        grid.add_column(name.replace("_", "_\n"), justify="center")
    for inversion in dict.fromkeys(pair.inversion for pair in pairs):
        grid.add_row(inversion, *(marks.get((inversion, method), "-") for method in methods))
    print_names_and_marks(grid)

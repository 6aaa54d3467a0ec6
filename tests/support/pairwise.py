"""Few rows that show every pair of values of many options: a covering array of strength two."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import combinations

Item = tuple[str, Hashable]
"""An option and one of its values."""

_TRIES = 4
"""Rows that are tried for each that is kept."""


def pairwise(
    options: Mapping[str, Sequence[Hashable]], fits: Callable[[Item, Item], bool]
) -> list[dict[str, Hashable]]:
    """Find rows in which every two values that can stand in one row do so at least once.

    Greedy: a row begins with the first pair that no row has yet, and takes for every other option the value
    that adds most new pairs, and of several such values the one that most others still wait for. The options
    are gone through in several orders, and the best row is kept. The same options give the same rows
    everywhere.

    Args:
        options: by name the values of each, no value twice.
        fits: whether two values of different options may stand in one row; symmetric.

    Returns:
        Rows with a value of every option.
    """
    return _Search(options, fits).rows()


class _Search:
    """Items are numbered; sets of items are the bits of a number.

    Attributes:
        items: every option with every value.
        options: the items of each option.
        fitting: for each item, those that may stand beside it.
        fit_all: the items that fit whatever is in the row.
        missing: for each item, those that it has to stand beside in some row yet.
    """

    def __init__(self, options: Mapping[str, Sequence[Hashable]], fits: Callable[[Item, Item], bool]):
        self.items = [(name, value) for name, values in options.items() for value in values]
        numbered = list(enumerate(self.items))
        self.options = [[number for number, item in numbered if item[0] == name] for name in options]
        self.fitting = [
            sum(1 << other for other, item in numbered if item[0] != own[0] and fits(own, item))
            for own in self.items
        ]
        self.missing = list(self.fitting)
        self.fit_all = sum(
            1 << number
            for number, (own, _) in numbered
            if self.fitting[number].bit_count()
            == len(self.items) - sum(name == own for name, _ in self.items)
        )

    def rows(self) -> list[dict[str, Hashable]]:
        """All rows."""
        found = []
        for number in range(len(self.items)):
            while others := self.missing[number]:
                pair = [number, (others & -others).bit_length() - 1]
                row = max((self._fill(pair, start) for start in range(_TRIES)), key=self._new_pairs)
                for one, other in combinations(row or pair, 2):
                    self.missing[one] &= ~(1 << other)
                    self.missing[other] &= ~(1 << one)
                if row:
                    found.append(dict(self.items[number] for number in sorted(row)))
        return found

    def _new_pairs(self, row: Sequence[int]) -> int:
        together = sum(1 << number for number in row)
        return sum((self.missing[number] & together).bit_count() for number in row)

    def _fill(self, pair: Sequence[int], start: int) -> list[int]:
        """Complete a row, beginning with one of the options; no row if the pair stands in none."""
        row, together, allowed = [], 0, (1 << len(self.items)) - 1
        others = [numbers for numbers in self.options if not set(numbers) & set(pair)]
        ordered = [[number] for number in pair] + others[start:] + others[:start]
        sets = [sum(1 << number for number in numbers) for numbers in ordered]
        for place, numbers in enumerate(ordered):

            def merit(number: int, together: int = together) -> tuple[int, int]:
                return (self.missing[number] & together).bit_count(), self.missing[number].bit_count()

            for number in sorted(numbers, key=merit, reverse=True):  # equals keep their order
                still = allowed & self.fitting[number]
                if allowed >> number & 1 and self._can_follow(still, sets[place + 1 :]):
                    break
            else:
                return []
            row.append(number)
            together |= 1 << number
            allowed = still
        return row

    def _can_follow(self, allowed: int, options: Sequence[int]) -> bool:
        """Whether a value of each of the options is allowed and fits all the others' values."""
        left = [option & allowed for option in options if not option & allowed & self.fit_all]
        if not left:
            return True
        narrowest = min(left, key=int.bit_count)
        others = [option for option in left if option != narrowest]
        return any(self._can_follow(allowed & self.fitting[number], others) for number in _members(narrowest))


def _members(items: int) -> Iterator[int]:
    while items:
        yield (items & -items).bit_length() - 1
        items &= items - 1

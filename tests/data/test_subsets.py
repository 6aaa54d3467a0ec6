"""The fixed subsets: PIE-Bench's listed ids, and the rule for other benchmarks."""

from collections import Counter
from pathlib import Path

import pytest

from piebench_eval.cli.scoring_options import SubsetName
from piebench_eval.data.sample import TYPE_NAMES, Sample
from piebench_eval.data.selection import select_samples
from piebench_eval.data.subsets import SUBSETS, in_turn, listed_ids, select_subset
from piebench_eval.errors import PiebenchError

MOTIFS = ("animal", "human", "indoor", "outdoor")


def a_sample(sample_id, path, type_id):
    return Sample(sample_id, path, Path(), "", "", "", type_id, "", ())


def pie_bench():
    """The ids and paths of PIE-Bench's 700 pictures."""
    for number in range(140):
        yield a_sample(f"{number:012d}", f"0_random_140/{number:012d}.jpg", "0")
    for type_id, name in list(TYPE_NAMES.items())[1:]:
        pictures = 40 if type_id in "4567" else 80
        for made, origin in enumerate(("artificial", "natural"), start=1):
            for kind, motif in enumerate(MOTIFS, start=1):
                for number in range(pictures // 8):
                    sample_id = f"{type_id}{made}{kind}{number:09d}"
                    folder = f"{type_id}_{name.replace(' ', '_')}_{pictures}"
                    path = f"{folder}/{made}_{origin}/{kind}_{motif}/{sample_id}.jpg"
                    yield a_sample(sample_id, path, type_id)


WHOLE = list(pie_bench())


def ids(samples):
    return [sample.id for sample in samples]


@pytest.mark.parametrize("name", SUBSETS)
def test_pie_benchs_ids_are_listed_and_the_rule_gives_them_again(name):
    assert len(WHOLE) == 700
    number = int(name.removeprefix("quick-"))
    assert listed_ids(name) == set(ids(in_turn(WHOLE)[:number]))
    assert ids(select_subset(WHOLE, name)) == sorted(listed_ids(name))


@pytest.mark.parametrize("name", SUBSETS)
def test_types_and_artificial_and_natural_pictures_have_their_shares(name):
    chosen = select_subset(WHOLE, name)
    of_types, all_types = (Counter(sample.type_id for sample in samples) for samples in (chosen, WHOLE))
    assert {type_id: SUBSETS[name] * count for type_id, count in of_types.items()} == all_types
    origins = Counter((sample.id[0], sample.id[1]) for sample in chosen if sample.type_id != "0")
    assert all(origins[type_id, "1"] == origins[type_id, "2"] for type_id in "123456789")


def test_the_smaller_subset_is_a_part_of_the_larger():
    assert listed_ids("quick-70") < listed_ids("quick-140")


def test_what_else_a_part_of_pie_bench_lacks_changes_nothing():
    styleless = [sample for sample in WHOLE if sample.type_id != "9"][::-1]
    chosen = ids(select_subset(styleless, "quick-70"))
    assert chosen == sorted((each for each in listed_ids("quick-70") if each[0] != "9"), reverse=True)
    more = [*WHOLE, a_sample("mine", "mine.png", "0")]
    assert set(ids(select_subset(more, "quick-70"))) == listed_ids("quick-70")


def test_another_benchmark_gives_the_same_shares_by_the_same_rule():
    drawn = [a_sample(f"{t}{n:011d}", f"{t}_type_4/{n}.png", t) for t in TYPE_NAMES for n in range(4)]
    small, large = (select_subset(drawn, name) for name in SUBSETS)
    assert (len(small), len(large)) == (4, 8) and set(ids(small)) < set(ids(large))
    assert len({sample.type_id for sample in large}) == 8
    assert ids(select_subset(drawn[::-1], "quick-70")) == ids(small)[::-1]


def test_the_rule_keeps_its_choice_among_other_neighbours():
    everything = [a_sample(f"x{n}", f"0_random/{n}.png", "0") for n in range(200)]
    chosen = set(ids(select_subset(everything, "quick-140")))
    fewer = [sample for sample in everything if sample.id in chosen or sample.id.endswith("7")]
    assert set(ids(in_turn(fewer)[:10])) <= chosen


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"subset": "quick-71"}, "use quick-70 or quick-140"),
        ({"subset": "quick-70", "limit": 3}, "leave out --types, --ids and --limit"),
        ({"subset": "quick-70", "types": ["9"]}, "is fixed"),
    ],
)
def test_refusals(choice, words):
    with pytest.raises(PiebenchError, match=words):
        select_samples(WHOLE, **choice)


def test_a_part_of_pie_bench_without_any_of_the_listed_pictures():
    rest = [sample for sample in WHOLE if sample.id not in listed_ids("quick-70")]
    with pytest.raises(PiebenchError, match="none of its 70 pictures"):
        select_subset(rest, "quick-70")


def test_the_option_offers_all_of_them():
    assert [name.value for name in SubsetName] == list(SUBSETS)

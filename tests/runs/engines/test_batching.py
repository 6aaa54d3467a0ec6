"""How batches grow and shrink."""

from piebench_eval.runs.engines.batching import BatchSizer


def sizes(sizer, peak_of, batches=6, capacity=1000):
    found = []
    for _ in range(batches):
        size = sizer.size("c")
        found.append(size)
        sizer.fitted("c", size, 100, peak_of(size), capacity)
    return found


def test_a_batch_grows_until_the_next_would_not_fit():
    # 100 bytes at rest and 150 per sample: 4 need 700, 8 would need 1300.
    assert sizes(BatchSizer(8, grows=True), lambda size: 100 + 150 * size) == [1, 2, 4, 4, 4, 4]


def test_a_batch_grows_no_further_than_the_largest():
    assert sizes(BatchSizer(8, grows=True), lambda size: 101) == [1, 2, 4, 8, 8, 8]
    assert sizes(BatchSizer(3, grows=True), lambda size: 101) == [1, 2, 3, 3, 3, 3]


def test_without_a_known_capacity_nothing_grows():
    assert sizes(BatchSizer(8, grows=True), lambda size: 101, capacity=None) == [1] * 6


def test_a_given_size_is_kept():
    assert sizes(BatchSizer(8, grows=False), lambda size: 101) == [8] * 6


def test_a_batch_that_overflowed_stays_smaller():
    sizer = BatchSizer(8, grows=True)
    assert sizes(sizer, lambda size: 101, batches=3) == [1, 2, 4]
    sizer.overflowed("c", 8)
    assert sizer.size("c") == 4
    assert sizes(sizer, lambda size: 101, batches=2) == [4, 4]


def test_combinations_have_sizes_of_their_own():
    sizer = BatchSizer(8, grows=False)
    sizer.overflowed("null_text+p2p", 8)
    assert (sizer.size("null_text+p2p"), sizer.size("direct+p2p")) == (4, 8)


def test_the_rest_of_a_cut_batch_says_nothing_of_the_size():
    sizer = BatchSizer(8, grows=True)
    sizes(sizer, lambda size: 101, batches=2)
    sizer.fitted("c", 1, 100, 101, 1000)
    assert sizer.size("c") == 4

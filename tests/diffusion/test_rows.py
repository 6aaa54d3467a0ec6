import pytest
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.diffusion.rows import (
    Branch,
    GuidedBranches,
    Row,
    RowBatch,
    SourceReads,
    StepRows,
    plan_rows,
)
from piebench_eval.errors import PiebenchError

READS = st.lists(
    st.builds(SourceReads, uncond=st.booleans(), cond=st.booleans(), latent=st.booleans()), max_size=12
)
GUIDED = st.builds(GuidedBranches, source=st.booleans(), target=st.booleans(), mutual=st.booleans())
BOTH = GuidedBranches(True, True)


@given(READS, st.booleans(), GUIDED, st.booleans(), st.sampled_from([1, 2]), st.booleans())
def test_everything_that_is_read_is_computed_and_nothing_else(
    reads, known, guided, source_uncond_is_cond, stages, retraced
):
    stages_of_steps = [stages] * len(reads)
    plan = plan_rows(
        reads, known, guided, source_uncond_is_cond, stages_of_steps, retraced=[retraced] * len(reads)
    )
    for step, (read, computed) in enumerate(zip(reads, plan, strict=True)):
        later = read.latent or any(any(other) for other in reads[step + 1 :])
        # Between the levels a source that is read is where its own output leads.
        within = stages == 2 and (read.uncond or read.cond)
        # What its own step misses is known of every conditional row.
        reads_uncond = guided.target and read.uncond
        missed = retraced and (read.cond or (source_uncond_is_cond and reads_uncond))
        assert computed.moves_source == ((later and not known) or within or missed)
        needs_uncond = reads_uncond or (guided.source and computed.moves_source)
        needs_cond = read.cond or computed.moves_source or (source_uncond_is_cond and needs_uncond)
        assert (Row.SOURCE_COND in computed.rows) == needs_cond
        assert (Row.SOURCE_UNCOND in computed.rows) == (needs_uncond and not source_uncond_is_cond)
        assert Row.TARGET_COND in computed.rows
        assert (Row.TARGET_UNCOND in computed.rows) == guided.target


@given(READS, st.data(), st.booleans(), GUIDED, st.sampled_from([1, 2]))
def test_the_mutual_branch_has_what_is_read_of_it_and_the_sources_rows_beside(
    mutual, data, known, guided, stages
):
    reads = data.draw(st.lists(st.builds(SourceReads), min_size=len(mutual), max_size=len(mutual)))
    plan = plan_rows(reads, known, guided, stages=[stages] * len(reads), mutual_reads=mutual)
    for step, (read, computed) in enumerate(zip(mutual, plan, strict=True)):
        later = read.latent or any(any(other) for other in mutual[step + 1 :])
        assert computed.moves_mutual == (later or (stages == 2 and any(read)))
        assert (Row.MUTUAL_COND in computed.rows) == (read.cond or computed.moves_mutual)
        uncond = read.uncond or (guided.mutual and computed.moves_mutual)
        assert (Row.MUTUAL_UNCOND in computed.rows) == uncond
        for of_mutual, of_source in ((4, 0), (5, 1)):
            assert Row(of_mutual) not in computed.rows or Row(of_source) in computed.rows
        assert (Row.TARGET_UNCOND in computed.rows) == (guided.target or uncond)
        assert [computed.moves(branch) for branch in Branch] == [
            computed.moves_source,
            True,
            computed.moves_mutual,
        ]


def test_without_a_mutual_branch_nothing_changes():
    read = [SourceReads(cond=True), SourceReads(latent=True)]
    assert plan_rows(read, False, BOTH) == plan_rows(read, False, BOTH, mutual_reads=[SourceReads()] * 2)


@given(st.lists(READS.filter(lambda reads: len(reads) >= 1), min_size=1, max_size=5))
def test_positions_find_every_row(reads):
    steps = [plan_rows(of_sample, False, BOTH)[0] for of_sample in reads]
    batch = RowBatch.of_step(steps)
    assert len(batch.owners) == sum(len(step.rows) for step in steps)
    for row, samples in batch.samples_by_row.items():
        for sample, position in zip(samples, batch.positions(row, samples), strict=True):
            assert batch.owners[position] == sample
            assert row in steps[sample].rows
        assert batch.index(row, samples).tolist() == batch.positions(row, samples)


def test_a_row_that_is_not_there_or_has_ended_is_told():
    batch = RowBatch({Row.SOURCE_COND: [0, 1], Row.TARGET_COND: [0, 1]})
    assert batch.without(Branch.SOURCE, [1]).positions(Row.SOURCE_COND, [1]) == [0]
    for rows, kind in ((batch, Row.TARGET_UNCOND), (batch.without(Branch.SOURCE, []), Row.SOURCE_COND)):
        with pytest.raises(PiebenchError, match=rf"{kind.name.lower()} rows that are not .*reads_layer"):
            rows.positions(kind, [0])


def test_one_source_row_stands_for_both_halves():
    read = [SourceReads(uncond=True, cond=True)]
    alone, shared = (
        plan_rows(read, True, BOTH, source_uncond_is_cond)[0] for source_uncond_is_cond in (False, True)
    )
    batch = RowBatch.of_step([alone, shared])
    assert len(batch.owners) == 4 + 3
    assert batch.owners[batch.positions(Row.SOURCE_UNCOND, [1])[0]] == 1
    assert batch.positions(Row.SOURCE_UNCOND, [1]) == batch.positions(Row.SOURCE_COND, [1])
    assert batch.positions(Row.SOURCE_UNCOND, [0]) != batch.positions(Row.SOURCE_COND, [0])


@given(st.lists(READS.filter(lambda reads: len(reads) >= 1), min_size=1, max_size=5), st.data())
def test_rows_of_the_same_source_are_laid_out_once(reads, data):
    steps = [plan_rows(of_sample, False, BOTH)[0] for of_sample in reads]
    sources = data.draw(st.lists(st.integers(0, 2), min_size=len(steps), max_size=len(steps)))
    same = [sources.index(source) for source in sources]
    batch, apart = RowBatch.of_step(steps, same_source=same), RowBatch.of_step(steps)
    source_rows = {(row, same[sample]) for sample, step in enumerate(steps) for row in step.rows if row < 2}
    others = sum(row >= 2 for step in steps for row in step.rows)
    assert len(batch.owners) == len(source_rows) + others
    assert len(batch.lenders) == len(apart.owners) - len(batch.owners)
    for row, samples in apart.samples_by_row.items():
        assert batch.readers(row) == samples
        for sample, position in zip(samples, batch.positions(row, samples), strict=True):
            owner = batch.owners[position]
            assert owner <= sample and same[owner] == same[sample]
            assert owner == sample or row.branch is Branch.SOURCE
    source, target = batch.source_apart
    assert [*source.owners, *target.owners] == batch.owners and not target.lenders


def test_a_row_goes_on_while_one_of_its_readers_needs_it():
    reads = [StepRows(frozenset({Row.SOURCE_COND, Row.TARGET_COND}), moves) for moves in (False, True, False)]
    batch = RowBatch.of_step(reads, same_source=[0, 0, 0])
    assert batch.owners == [0, 0, 1, 2]
    left = batch.without(Branch.SOURCE, [1])
    assert left.owners == batch.owners and left.positions(Row.SOURCE_COND, [1]) == [0]
    assert batch.without(Branch.SOURCE, []).owners == [0, 1, 2]

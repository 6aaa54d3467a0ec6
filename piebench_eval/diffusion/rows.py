"""The plan of rows: which rows of a batch each step of the edit loop needs.

A row is one latent with one text in the batch of a UNet call. Rows are planned here; model evaluations are
counted in ``models/nfe.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from piebench_eval.errors import PiebenchError
from piebench_eval.tensors import device_index, writes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.conditioning import Conditioning


class Branch(IntEnum):
    """What is denoised together.

    The mutual branch is there for methods that declare it. It begins and steps as the target does, but with
    the source's prompt and guidance, and takes what it attends to from the source.
    """

    SOURCE = 0
    TARGET = 1
    MUTUAL = 2


class Row(IntEnum):
    """The kinds of row: branch x half (unconditional or conditional)."""

    SOURCE_UNCOND = 0
    SOURCE_COND = 1
    TARGET_UNCOND = 2
    TARGET_COND = 3
    MUTUAL_UNCOND = 4
    MUTUAL_COND = 5

    @property
    def branch(self) -> Branch:
        """The branch that it belongs to."""
        return Branch(self // 2)


_SOURCE_ROWS = tuple(row for row in Row if row.branch is Branch.SOURCE)


class SourceReads(NamedTuple):
    """What a method reads of the source branch, or of the mutual one, in one step.

    Attributes:
        uncond: features inside the UNet, in the unconditional half.
        cond: features inside the UNet, in the conditional half.
        latent: the branch's latent after the step.
    """

    uncond: bool = False
    cond: bool = False
    latent: bool = False


class GuidedBranches(NamedTuple):
    """Which branches are guided by unconditional rows.

    Attributes:
        source: the source branch, where it takes its own steps.
        target: the target branch.
        mutual: the mutual branch, where there is one.
    """

    source: bool
    target: bool
    mutual: bool = False


class StepRows(NamedTuple):
    """What one step computes for one sample.

    Attributes:
        rows: the kinds of row to evaluate.
        moves_source: whether the source latent takes its own step.
        source_uncond_is_cond: the source's conditional row serves as its unconditional one too, since both
            halves have the same text.
        moves_mutual: whether the mutual branch's latent takes its step.
    """

    rows: frozenset[Row]
    moves_source: bool
    source_uncond_is_cond: bool = False
    moves_mutual: bool = False

    def moves(self, branch: Branch) -> bool:
        """Whether a branch's latent takes its own step."""
        return branch is Branch.TARGET or (self.moves_source, False, self.moves_mutual)[branch]


def plan_rows(
    reads: Sequence[SourceReads],
    source_known: bool,
    guided: GuidedBranches,
    source_uncond_is_cond: bool = False,
    stages: Sequence[int] = (),
    mutual_reads: Sequence[SourceReads] = (),
    keeps_output: bool = False,
    known_between: bool = False,
    retraced: Sequence[bool] = (),
) -> list[StepRows]:
    """Decide, for one sample, which rows each step of the edit loop computes.

    The source branch costs a row only where the method reads it, or where it has to be sampled
    (its latents are not known from the inversion) for a latent that is read later. A branch that is not
    guided by unconditional rows needs none, unless the method reads the source's; nor is one needed for the
    source where both its halves have the same text.

    The mutual branch, of latents that nobody knows, costs rows where it is read or has to be sampled for a
    latent that is read later; where it has a row, so has the source, whose same half it reads.

    Args:
        reads: what the method reads of the source, step by step.
        source_known: the inversion says where the source latent is at every step.
        guided: the branches whose unconditional rows count.
        source_uncond_is_cond: the source's unconditional conditioning is its conditional one.
        stages: evaluations in each step; one if empty. After the first, a source that is read is where its
            own output leads, even if its latents are known at the levels.
        mutual_reads: what the method reads of the mutual branch, step by step; nothing if empty.
        keeps_output: a step goes on from the output of the step before, so that a branch moves in all steps
            up to the last in which it is read.
        known_between: a known source is known at every evaluation of a step, not at the levels alone.
        retraced: for each step, whether the source takes its own if it has a conditional row, since what that
            step misses of known latents is asked for; in none if empty.

    >>> plan = plan_rows([SourceReads(cond=True), SourceReads()], True, GuidedBranches(True, True))
    >>> [len(step.rows) for step in plan]
    [3, 2]
    """
    several = [count > 1 or keeps_output for count in stages] or [keeps_output] * len(reads)
    mutual = _plan_mutual(mutual_reads, guided, several) or [_NO_MUTUAL] * len(reads)
    reads = [
        SourceReads(read.uncond, read.cond or Row.MUTUAL_COND in rows, read.latent)
        for read, (rows, _) in zip(reads, mutual, strict=True)
    ]
    read_from = [any(any(read) for read in reads[step:]) for step in range(len(reads) + 1)]
    plan = []
    for step, (read, (of_mutual, moves_mutual)) in enumerate(zip(reads, mutual, strict=True)):
        moves_source = not source_known and (read.latent or read_from[step + 1])
        led_by_itself = several[step] and not (source_known and known_between)
        moves_source = moves_source or (led_by_itself and (read.uncond or read.cond))
        moves_source = moves_source or (keeps_output and read_from[step + 1])
        mutual_uncond = Row.MUTUAL_UNCOND in of_mutual
        reads_uncond = (read.uncond and guided.target) or mutual_uncond
        has_cond = read.cond or (reads_uncond and source_uncond_is_cond)
        moves_source = moves_source or (has_cond and bool(retraced) and retraced[step])
        needs_uncond = reads_uncond or (moves_source and guided.source)
        rows = {Row.TARGET_COND, *of_mutual}
        if has_cond or moves_source:
            rows.add(Row.SOURCE_COND)
        if needs_uncond and not source_uncond_is_cond:
            rows.add(Row.SOURCE_UNCOND)
        if guided.target or mutual_uncond:
            rows.add(Row.TARGET_UNCOND)
        plan.append(StepRows(frozenset(rows), moves_source, source_uncond_is_cond, moves_mutual))
    return plan


_NO_MUTUAL: tuple[frozenset[Row], bool] = (frozenset(), False)


def _plan_mutual(
    reads: Sequence[SourceReads], guided: GuidedBranches, several: Sequence[bool]
) -> list[tuple[frozenset[Row], bool]]:
    """The mutual branch's rows in each step, and whether it moves."""
    plan = []
    for step, read in enumerate(reads):
        moves = read.latent or any(any(later) for later in reads[step + 1 :])
        moves = moves or (several[step] and any(read))
        rows = {Row.MUTUAL_COND} if moves or read.cond else set()
        if (moves and guided.mutual) or read.uncond:
            rows.add(Row.MUTUAL_UNCOND)
        plan.append((frozenset(rows), moves))
    return plan


@dataclass(frozen=True)
class RowBatch:
    """The batch of one UNet call: the rows of all samples, grouped by kind, then by sample.

    Attributes:
        samples_by_row: for each kind that occurs, the samples that have such a row, ascending.
        source_uncond_is_cond: the samples whose conditional source row serves as the unconditional one too.
        device: where the rows are computed; the CPU if None.
        lenders: of a kind and a sample that reads another sample's row of that kind, since it would be the
            same row, which sample that is.
    """

    samples_by_row: dict[Row, list[int]]
    source_uncond_is_cond: frozenset[int] = frozenset()
    device: torch.device | None = None
    lenders: Mapping[tuple[Row, int], int] = field(default_factory=dict)
    _indices: dict[tuple[Row, tuple[int, ...]], torch.Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _texts: dict[tuple[Conditioning, ...], tuple[list[object], Conditioning]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of_step(
        cls,
        rows_of_samples: Sequence[StepRows],
        device: torch.device | None = None,
        same_source: Sequence[int] | None = None,
    ) -> RowBatch:
        """Lay out one step's rows of every sample.

        Args:
            rows_of_samples: the rows that each sample needs.
            device: where they are computed; the CPU if None.
            same_source: for each sample, the first one whose source branch is the same: the source's rows of
                these are laid out once, for the first of them that needs the row. None if all differ.
        """
        by_row = {row: [s for s, step in enumerate(rows_of_samples) if row in step.rows] for row in Row}
        shared = frozenset(s for s, step in enumerate(rows_of_samples) if step.source_uncond_is_cond)
        lenders: dict[tuple[Row, int], int] = {}
        for row in _SOURCE_ROWS:
            first: dict[int, int] = {}
            for sample in by_row[row]:
                lender = first.setdefault(sample if same_source is None else same_source[sample], sample)
                if lender != sample:
                    lenders[row, sample] = lender
            by_row[row] = list(first.values())
        return cls({row: samples for row, samples in by_row.items() if samples}, shared, device, lenders)

    @cached_property
    def source_apart(self) -> tuple[RowBatch, RowBatch]:
        """The source's rows and all others, whose calls together give what one call of all rows gives."""
        source, others = (
            {
                row: of_row
                for row, of_row in self.samples_by_row.items()
                if (row.branch is Branch.SOURCE) is first
            }
            for first in (True, False)
        )
        shared = self.source_uncond_is_cond, self.device
        return RowBatch(source, *shared, self.lenders), RowBatch(others, *shared)

    def without(self, branch: Branch, kept: Sequence[int]) -> RowBatch:
        """The rows but those of a branch, of which only what the given samples have or read is kept."""
        left = {
            row: [
                sample
                for sample in samples
                if row.branch is not branch or any(self._owner(row, reader) == sample for reader in kept)
            ]
            for row, samples in self.samples_by_row.items()
        }
        of_left = {row: samples for row, samples in left.items() if samples}
        return RowBatch(of_left, self.source_uncond_is_cond, self.device, self.lenders)

    @cached_property
    def beginnings(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Which rows begin with the same latents: those of a sample's branch. None if none do.

        Returns:
            Positions of the first row of each branch of each sample, and for each row the number of its own
            among these; int64, on the device.
        """
        branches = [
            (row.branch, sample) for row, samples in self.samples_by_row.items() for sample in samples
        ]
        distinct = list(dict.fromkeys(branches))
        if len(distinct) == len(branches):
            return None
        first = [branches.index(branch) for branch in distinct]
        of_rows = [distinct.index(branch) for branch in branches]
        return device_index(first, self.device), device_index(of_rows, self.device)

    @cached_property
    def owners(self) -> list[int]:
        """The sample that each row belongs to."""
        return [sample for samples in self.samples_by_row.values() for sample in samples]

    def readers(self, row: Row) -> list[int]:
        """The samples that have a row of a kind or read another's, ascending."""
        of_row = self.samples_by_row.get(row, [])
        borrowers = [
            sample for (kind, sample), lender in self.lenders.items() if kind is row and lender in of_row
        ]
        return sorted([*of_row, *borrowers])

    def _owner(self, row: Row, sample: int) -> int:
        """The sample whose row of a kind a sample reads: itself, if it has one."""
        return self.lenders.get((row, sample), sample)

    def positions(self, row: Row, samples: Sequence[int]) -> list[int]:
        """Positions in the batch of the rows of one kind, for the given samples.

        Raises:
            PiebenchError: there is no such row, or it has ended.
        """
        kinds = [row] * len(samples)
        if row is Row.SOURCE_UNCOND:
            kinds = [Row.SOURCE_COND if sample in self.source_uncond_is_cond else row for sample in samples]
        try:
            pairs = zip(kinds, samples, strict=True)
            return [self._position[kind, self._owner(kind, sample)] for kind, sample in pairs]
        except KeyError:
            raise PiebenchError(
                f"a method reads {row.name.lower()} rows that are not computed, or not up to this layer: its "
                "source_reads, reads_layer and reads_module say what it reads"
            ) from None

    def index(self, row: Row, samples: Sequence[int]) -> torch.Tensor:
        """``positions`` as an index tensor on the device, made once for all layers and steps."""
        key = row, tuple(samples)
        if key not in self._indices:
            self._indices[key] = device_index(self.positions(row, samples), self.device)
        return self._indices[key]

    def texts(self, of_kinds: Mapping[Row, Conditioning]) -> Conditioning:
        """What the rows are conditioned on: the same object as in the step before, if it is the same.

        Not if it has been written to since.

        Args:
            of_kinds: what rows of each kind are conditioned on, for all samples.
        """
        from piebench_eval.models.conditioning import Conditioning

        parts = tuple(of_kinds[row] for row in self.samples_by_row)
        written = [writes(tensor) for part in parts for tensor in part.parts]
        of, texts = self._texts.get(parts, (None, parts[0]))
        if of != written:
            self._texts.clear()  # one is kept: null-text inversion has others in every step
            taken = zip(parts, self.samples_by_row.values(), strict=True)
            texts = Conditioning.cat([part.take(samples) for part, samples in taken])
            self._texts[parts] = written, texts
        return texts

    @cached_property
    def _position(self) -> dict[tuple[Row, int], int]:
        pairs = [(row, sample) for row, samples in self.samples_by_row.items() for sample in samples]
        return {pair: position for position, pair in enumerate(pairs)}


@dataclass(frozen=True)
class EndedRows:
    """Rows of a call that end before its output.

    Attributes:
        place: the layer behind which they end, see ``DiffusionModel.row_places``.
        layer: that layer, if it is attention.
        left: the rows that go on.
        going_on: their positions among all rows, a range or an index tensor.
    """

    place: str
    layer: AttentionLayer | None
    left: RowBatch
    going_on: slice | torch.Tensor

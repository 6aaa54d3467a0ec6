"""What a combination needs of a picture, in the words of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.editors.texts import needs_instruction
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.batch_editing import editor_of

if TYPE_CHECKING:
    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.combination import Combination


def require_needs(combination: Combination, sample: Sample) -> None:
    """Refuse an editor without the instruction or the mask that it needs.

    Raises:
        PiebenchError: names the field of the page.
    """
    name = combination.method
    if needs_instruction(editor_of(combination), combination.common) and not sample.instruction.strip():
        raise PiebenchError(
            f"{name}: is told an instruction, and Instruction is empty; fill it in, or set prompt_from of "
            f"{name} to target"
        )
    if looks_at_mask(combination) and not sample.mask_rle:
        raise PiebenchError(
            f"{name}: edits what a mask marks, and there is none; paint one, or take a sample that has one"
        )


def looks_at_mask(combination: Combination) -> bool:
    """Whether it edits what the sample's mask marks."""
    return editor_of(combination).masks == "benchmark"

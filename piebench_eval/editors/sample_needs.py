"""What editors need of samples: an instruction, or a mask that marks something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import image_size
from piebench_eval.data.masks import is_empty
from piebench_eval.editors.texts import needs_instruction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.editors.base import Editor


def unmet_needs(editor: Editor, common: Any, samples: Sequence[Sample]) -> list[str]:
    """What samples lack that an editor needs, a line for each kind: how many lack it, and the remedies.

    A mask of the whole picture is one; only a mask without a pixel of the picture is none.

    Args:
        editor: the editor.
        common: the recipe's settings that all combinations share.
        samples: the selected samples.

    Raises:
        PiebenchError: an image is missing or damaged.
    """
    lines = []
    if needs_instruction(editor, common):
        without = [sample for sample in samples if not sample.instruction.strip()]
        if without:
            lines.append(
                f"{_counted(without, samples, 'instruction')}; fill in editing_instruction (PIE-Bench has "
                "it, PIE-Bench++ does not), edit by the target prompts with --prompt-from target, or leave "
                "these samples out by --ids or --types"
            )
    if editor.masks == "benchmark":
        without = [sample for sample in samples if is_empty(sample.mask_rle, image_size(sample.file))]
        if without:
            lines.append(
                f"{_counted(without, samples, 'mask')} that marks a pixel, and it edits what the mask marks; "
                "fill in mask, or leave these samples out by --ids or --types"
            )
    return lines


def _counted(without: Sequence[Sample], samples: Sequence[Sample], what: str) -> str:
    have = "has" if len(without) == 1 else "have"
    example = "id" if len(without) == 1 else "for example id"
    return f"{len(without)} of {len(samples)} samples {have} no {what} ({example} {without[0].id})"

"""What an editor of pictures is told of a sample: the instruction, or the target prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from piebench_eval.data.sample import Sample
    from piebench_eval.editors.base import Editor, PromptedBy

PromptFrom = Literal["auto", "target"]
"""Where an editor's text comes from: what the editor declares, or the target prompt in any case."""


def prompted_by(editor: Editor, common: Any) -> PromptedBy:
    """What prompts an editor under a recipe: what it declares, unless it says ``prompt_from: target``.

    Args:
        editor: the editor.
        common: the recipe's settings that all combinations share.
    """
    return "target prompt" if common.prompt_from == "target" else editor.prompted_by


def edit_text(sample: Sample, editor: Editor, common: Any) -> str:
    """The text that an editor is given for a sample.

    Args:
        sample: the sample.
        editor: the editor.
        common: the recipe's settings that all combinations share.

    Returns:
        The instruction, blanks around it removed, for an editor that an instruction prompts, alone or with
        the target prompt; for all others, and under ``prompt_from: target``, the target prompt without
        brackets.
    """
    if needs_instruction(editor, common):
        return sample.instruction.strip()
    return sample.target_prompt


def needs_instruction(editor: Editor, common: Any) -> bool:
    """Whether an editor is given the instruction of each sample, which then must have one."""
    return prompted_by(editor, common) in ("instruction", "both")

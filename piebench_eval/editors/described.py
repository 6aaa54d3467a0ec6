"""What editors declare, as plain values for manifests, tables and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.editors import EDITORS
from piebench_eval.editors.texts import prompted_by

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPTED_BY, MASKS = "prompted_by", "masks"


def described_editors(commons: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What prompts each editor under its recipe, and whether it looks at masks, by name.

    Args:
        commons: for each editor's name, the recipe's settings that all combinations share.
    """
    editors = {name: EDITORS.get(name) for name in commons}
    return {
        name: {PROMPTED_BY: prompted_by(editor, commons[name]), MASKS: editor.masks}
        for name, editor in editors.items()
    }

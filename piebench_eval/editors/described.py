"""What editors declare, as plain values for manifests, tables and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.editors import EDITORS
from piebench_eval.editors.texts import prompted_by

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPTED_BY, MASKS = "prompted_by", "masks"


def described_editors(settings: Mapping[str, tuple[Any, Any]]) -> dict[str, dict[str, str]]:
    """What prompts each editor under its recipe, and whether it looks at masks, by name.

    Args:
        settings: for each editor's name, its own settings, and those of the recipe that all share.
    """
    editors = {name: EDITORS.get(name).with_settings(own) for name, (own, _) in settings.items()}
    return {
        name: {PROMPTED_BY: prompted_by(editor, settings[name][1]), MASKS: editor.masks}
        for name, editor in editors.items()
    }

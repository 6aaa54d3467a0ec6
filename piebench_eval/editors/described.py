"""What editors declare, as plain values for manifests, tables and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.editors import EDITORS

if TYPE_CHECKING:
    from collections.abc import Iterable

PROMPTED_BY, MASKS = "prompted_by", "masks"


def described_editors(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What prompts each editor and whether it looks at masks, by name.

    >>> described_editors(["sdedit"])
    {'sdedit': {'prompted_by': 'target prompt', 'masks': 'none'}}
    """
    editors = {name: EDITORS.get(name) for name in names}
    return {name: {PROMPTED_BY: editor.prompted_by, MASKS: editor.masks} for name, editor in editors.items()}

"""Every editor that is a pipeline of diffusers: its small model, its settings, and the call by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from piebench_eval.data.sample import Sample
from tests.support.tiny_pipelines import instruct_pix2pix


@dataclass(frozen=True)
class PipelineCase:
    """One editor.

    Attributes:
        editor: its name.
        save: writes its small model into a folder, and returns the folder.
        by_hand: ``(folder, image, sample, generator)`` -> the pipeline's edit by 2 steps at guidance 5.
        settings: its own settings.
        fields: further fields of the recipe.
    """

    editor: str
    save: Callable[[Path], Path]
    by_hand: Callable[[Path, Image.Image, Sample, torch.Generator], Image.Image]
    settings: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)


CASES = {
    case.editor: case
    for case in [
        PipelineCase(
            "instruct_pix2pix", instruct_pix2pix.save, instruct_pix2pix.by_hand, {"image_guidance": 1.2}
        ),
    ]
}

"""What made an edit, in the metadata of its PNG: written, and read from PNGs of strangers."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Annotated, Any

from PIL import Image, PngImagePlugin
from pydantic import Field, ValidationError

from piebench_eval.errors import PiebenchError
from piebench_eval.settings import Settings, explain_invalid
from piebench_eval.studio.changed_words import MAX_PROMPT
from piebench_eval.studio.setup import Setup
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

KEY = "piebench"
"""The key of the PNG's text."""

_MAX_BYTES = 100_000
"""Of the text; an own one has a few thousand."""

_Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]
_Name = Annotated[str, Field(max_length=200)]
_Simple = bool | int | float | _Prompt | None
_Value = _Simple | Annotated[list[_Simple], Field(max_length=1000)]


class Recording(Settings):
    """What made an edit.

    Nothing in it is a file to open or code to run: the recipe is for the reader, and is not read back.
    """

    version: _Name = Field(default=__version__, description="of piebench-eval")
    model: _Prompt = Field(description="the model's name")
    combination: _Name = Field(description="what made this picture")
    combinations: Annotated[list[_Name], Field(max_length=500)] = Field(description="all that were chosen")
    settings: Annotated[dict[_Name, _Value], Field(max_length=500)] = Field(
        default_factory=dict, description="those that are not the recipe's, by their names in --set"
    )
    source_prompt: _Prompt = Field(description="describes the picture")
    target_prompt: _Prompt = Field(description="describes the edit")
    blended_word: _Prompt = Field(default="", description="words that local blend limits the edit to")
    instruction: _Prompt = Field(default="", description="the edit as an instruction")
    sample: _Name = Field(default="", description="the sample's id; empty for a picture of one's own")
    recipe: dict[str, Any] = Field(default_factory=dict, description="the whole recipe, with every default")

    def setup(
        self, model: str, known_combinations: Collection[str], known_settings: Collection[str]
    ) -> Setup:
        """The setup to restore, of names that this studio knows.

        Args:
            model: the model of this studio.
            known_combinations: what goes with it.
            known_settings: names of all settings that have a control.

        Raises:
            PiebenchError: the edit was made with another model, or nothing of it is known here.
        """
        if self.model != model:
            raise PiebenchError(
                f"This picture was made with the model {self.model}, and the studio has {model}; start one "
                "with that --model to restore its settings"
            )
        chosen = tuple(dict.fromkeys(name for name in self.combinations if name in known_combinations))
        if not chosen:
            raise PiebenchError(
                f"This picture was made with {', '.join(self.combinations[:5]) or 'nothing'}, which does not "
                "go with this studio's model"
            )
        return Setup(
            model, chosen, {key: value for key, value in self.settings.items() if key in known_settings}
        )


def with_recording(picture: NDArray[np.uint8], recording: Recording) -> bytes:
    """A picture ``[height, width, 3]`` as a PNG with what made it in its metadata."""
    about = PngImagePlugin.PngInfo()
    about.add_itxt(KEY, recording.model_dump_json())
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


def read_recording(file: Path) -> Recording | None:
    """What made the edit in a PNG; None if the picture says nothing of that, or is no PNG.

    Raises:
        PiebenchError: the metadata is damaged, or is not of this version's form.
    """
    try:
        with Image.open(file, formats=("PNG",)) as image:
            image.load()  # text may follow the pixels
            text = getattr(image, "text", {}).get(KEY)
    except Exception:  # whoever takes in the picture says what is wrong with it
        return None
    if text is None:
        return None
    refused = "The settings in this picture cannot be restored"
    if len(text.encode()) > _MAX_BYTES:
        raise PiebenchError(f"{refused}: they are longer than {_MAX_BYTES} bytes")
    try:
        return Recording.model_validate(json.loads(text))
    except ValidationError as error:
        raise PiebenchError(f"{refused}: {explain_invalid(error, Recording.model_fields)[0][:300]}") from None
    except (ValueError, RecursionError):
        raise PiebenchError(f"{refused}: they are no JSON") from None

"""What made an edit, in the metadata of its PNG: written, and read from PNGs of strangers."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image, PngImagePlugin
from pydantic import Field, JsonValue, ValidationError, field_validator

from piebench_eval.errors import PiebenchError
from piebench_eval.settings import Settings, explain_invalid
from piebench_eval.studio.changed_words import MAX_PROMPT
from piebench_eval.studio.setup import Setup
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.data.masks import BoolMask

KEY = "piebench"
"""The key of the PNG's text."""

_SOURCE, _MASK = b"pbSo", b"pbMa"
"""Chunks of the PNG with further PNGs; private ones by their letters, which other programs pass over."""

LARGEST_SOURCE = 2_000_000
"""Bytes of a source that travels in its edit; a picture of 1024x1024 has about as many."""

_MAX_BYTES = 100_000
"""Of the text; an own one has a few thousand."""

_DEEPEST = 8
"""Lists within lists of a setting."""

_Prompt = Annotated[str, Field(max_length=2 * MAX_PROMPT)]
_Name = Annotated[str, Field(max_length=200)]


class Recording(Settings):
    """What made an edit.

    Nothing in it is a file to open or code to run: the recipe is for the reader, and is not read back.
    """

    version: _Name = Field(default=__version__, description="of piebench-eval")
    model: _Prompt = Field(description="the model's name")
    editor_models: Annotated[dict[_Name, _Prompt | None], Field(max_length=500)] = Field(
        default_factory=dict, description="those of chosen editors that load one of their own"
    )
    combination: _Name = Field(description="what made this picture")
    combinations: Annotated[list[_Name], Field(max_length=500)] = Field(description="all that were chosen")
    settings: Annotated[dict[_Name, JsonValue], Field(max_length=500)] = Field(
        default_factory=dict, description="those that are not the recipe's, by their names in --set"
    )
    source_prompt: _Prompt = Field(description="describes the picture")
    target_prompt: _Prompt = Field(description="describes the edit")
    blended_word: _Prompt = Field(default="", description="words that local blend limits the edit to")
    instruction: _Prompt = Field(default="", description="the edit as an instruction")
    sample: _Name = Field(default="", description="the sample's id; empty for a picture of one's own")
    picture: str = Field(
        default="", pattern=r"^([0-9a-f]{16})?$", description="what tells the source from others"
    )
    recipe: dict[str, Any] = Field(default_factory=dict, description="the whole recipe, with every default")

    @field_validator("settings")
    @classmethod
    def _bearably_deep(cls, settings: dict[str, Any]) -> dict[str, Any]:
        level: list[Any] = list(settings.values())
        for _ in range(_DEEPEST):
            inner = (each.values() if isinstance(each, dict) else each for each in level)
            level = [
                value
                for values in inner
                if not isinstance(values, str | int | float | None)
                for value in values
            ]
        if level:
            raise ValueError("are too deep")
        return settings

    def setup(self, known: Setup, known_settings: Collection[str]) -> Setup:
        """The setup to restore, of names that this studio knows.

        Args:
            known: the studio's model, and everything that goes with it.
            known_settings: names of all settings that have a control.

        Raises:
            PiebenchError: the edit was made with another model, or nothing of it is known here.
        """
        if self.model != known.model:
            raise PiebenchError(
                f"This picture was made with the model {self.model}, and the studio has {known.model}; start "
                "one with that --model to restore its settings"
            )
        chosen = tuple(dict.fromkeys(name for name in self.combinations if name in known.combinations))
        if not chosen:
            raise PiebenchError(
                f"This picture was made with {', '.join(self.combinations[:5]) or 'nothing'}, which does not "
                "go with this studio's model"
            )
        settings = {key: value for key, value in self.settings.items() if key in known_settings}
        return Setup(known.model, chosen, settings, known.editor_models)

    def left_out(self, setup: Setup) -> list[str]:
        """What of it a setup does not restore, a line for each kind."""
        unknown = [*self.combinations, *self.settings]
        missing = [name for name in unknown if name not in {*setup.combinations, *setup.settings}]
        lines = [f"Left out, since this studio does not know it: {', '.join(missing)}."] if missing else []
        for name, model in self.editor_models.items():
            here = setup.editor_models.get(name)
            if name in setup.combinations and here != model:
                lines.append(f"{name} was made with {model}, and has {here} here.")
        return lines


def with_recording(
    picture: NDArray[np.uint8],
    recording: Recording,
    source: bytes | None = None,
    mask: BoolMask | None = None,
) -> bytes:
    """A picture as a PNG with what made it in its metadata.

    Args:
        picture: ``[height, width, 3]``.
        recording: what made it.
        source: the file of the picture that was edited; None if it does not travel with it.
        mask: the painted mask ``[height, width]`` of the source.
    """
    about = PngImagePlugin.PngInfo()
    about.add_itxt(KEY, recording.model_dump_json())
    if source is not None:
        about.add(_SOURCE, source)
    if mask is not None:
        buffer = io.BytesIO()
        Image.fromarray(mask).save(buffer, "PNG")
        about.add(_MASK, buffer.getvalue())
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


def read_recording(file: Path) -> Recording | None:
    """What made the edit in a PNG; None if the picture says nothing of that, or is no PNG.

    Raises:
        PiebenchError: the metadata is damaged, or is not of this version's form.
    """
    text = _metadata(file).get(KEY)
    if text is None:
        return None
    refused = "The settings in this picture cannot be restored"
    if len(text) > _MAX_BYTES:
        raise PiebenchError(f"{refused}: they are longer than {_MAX_BYTES} bytes")
    try:
        return Recording.model_validate(json.loads(text))
    except ValidationError as error:
        raise PiebenchError(f"{refused}: {explain_invalid(error, Recording.model_fields)[0][:300]}") from None
    except (ValueError, RecursionError):
        raise PiebenchError(f"{refused}: they are no JSON") from None


def read_source(file: Path) -> bytes | None:
    """The file of the picture that was edited, as a PNG of the studio encloses it: unchecked; or None."""
    return _metadata(file).get(_SOURCE)


def read_mask(file: Path, shape: tuple[int, int]) -> BoolMask | None:
    """The painted mask that a PNG of the studio encloses; None if it has none of that ``[height, width]``."""
    content = _metadata(file).get(_MASK)
    if content is None:
        return None
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.size != shape[::-1] or image.mode != "1":
                return None
            return np.array(image)
    except Exception:  # a damaged one makes Pillow raise almost anything
        return None


def _metadata(file: Path) -> dict[str | bytes, Any]:
    """The text by its key, and the enclosed files by their chunks' names; empty of what is no PNG."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            image.load()  # text may follow the pixels
            found: dict[str | bytes, Any] = dict(getattr(image, "text", {}))
            chunks = getattr(image, "private_chunks", [])
            return found | {chunk[0]: chunk[1] for chunk in chunks if chunk[0] in (_SOURCE, _MASK)}
    except Exception:  # whoever takes in the picture says what is wrong with it
        return {}

"""A sample of the benchmark: an annotated image, and its editing types and ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from piebench_eval.data.prompts import blend_words, strip_brackets

TYPE_NAMES = {
    "0": "random",
    "1": "change object",
    "2": "add object",
    "3": "delete object",
    "4": "change attribute content",
    "5": "change attribute pose",
    "6": "change attribute color",
    "7": "change attribute material",
    "8": "change background",
    "9": "change style",
}
"""PIE-Bench's editing types (Ju et al., ICLR 2024)."""

MaskRuns = Literal["start_length", "alternating", "alternating_columns"]
"""What a mask's numbers are taken for: start and length of each run, as PIE-Bench means them; or, in error,
lengths of runs that are outside and inside by turns, along rows, or down columns as in COCO's lists.
"""

_MAX_ID_BYTES = 200
"""Of an id in UTF-8; file systems allow 255 for a name, suffixes included."""


def id_problem(sample_id: str) -> str | None:
    """Explain why an id cannot be a file name; None if it can.

    >>> id_problem("000000000001")
    >>> id_problem("../x")
    "holds '/'; ids become names of files"
    """
    if not sample_id.strip() or sample_id in (".", ".."):
        return "is no name; ids become names of files"
    if not sample_id.isprintable():
        return "holds a character that cannot be printed; ids become names of files"
    for sign in "/\\":
        if sign in sample_id:
            return f"holds {sign!r}; ids become names of files"
    if len(sample_id.encode()) > _MAX_ID_BYTES:
        return f"is longer than {_MAX_ID_BYTES} bytes; ids become names of files"
    return None


@dataclass(frozen=True)
class Sample:
    """A source image, its prompts, and the mask of the region to edit.

    Attributes:
        id: the annotation's key.
        image_path: path of the image below ``annotation_images``, with forward slashes, and of its edits in
            theirs; if several samples share an image, the id replaces the file name.
        file: the image file.
        marked_source_prompt: the source prompt with brackets around the words to edit.
        marked_target_prompt: the target prompt, likewise.
        instruction: the edit as an instruction; may be empty.
        type_id: editing type, a key of ``TYPE_NAMES``.
        blended_word: the annotation's raw text: source and target word of the local blend, separated by a
            space, or phrases by "|"; may be empty. ``blend_words`` is the parsed pair.
        mask_rle: run-length list of the editing mask over the image as stored.
    """

    id: str
    image_path: str
    file: Path
    marked_source_prompt: str
    marked_target_prompt: str
    instruction: str
    type_id: str
    blended_word: str
    mask_rle: tuple[int, ...]

    @property
    def source_prompt(self) -> str:
        """The prompt of the source image, brackets removed."""
        return strip_brackets(self.marked_source_prompt)

    @property
    def target_prompt(self) -> str:
        """The prompt of the edited image, brackets removed."""
        return strip_brackets(self.marked_target_prompt)

    @property
    def source(self) -> tuple[Path, str]:
        """The image file and its prompt: the same for all targets of a picture, which share its inversion."""
        return self.file, self.marked_source_prompt

    @property
    def blend_words(self) -> tuple[str, str] | None:
        """``blended_word`` parsed: source and target word; one word alone is both; None if it is empty."""
        return blend_words(self.blended_word)

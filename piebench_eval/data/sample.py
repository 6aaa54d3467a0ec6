"""One annotated picture of the benchmark."""

from dataclasses import dataclass
from pathlib import Path

from piebench_eval.data.blended_words import blend_words
from piebench_eval.data.prompts import strip_brackets

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


@dataclass(frozen=True)
class Sample:
    """A picture, the edit that is asked for, and where the edit may take place.

    Attributes:
        id: the annotation's key.
        image_path: path of the picture below ``annotation_images``, with forward slashes, and of its edits
            below theirs; of a picture with several targets, the id stands for its name.
        file: where the picture lies on disk.
        marked_source_prompt: the source prompt with the brackets around the words to edit.
        marked_target_prompt: the target prompt, likewise.
        instruction: the edit as an instruction; may be empty.
        type_id: editing type, a key of ``TYPE_NAMES``.
        blended_word: source and target word of the local blend, separated by a space, or phrases by "|";
            may be empty.
        mask_rle: run-length list of the editing mask over the picture as stored.
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
        """The prompt of the given picture, brackets removed."""
        return strip_brackets(self.marked_source_prompt)

    @property
    def target_prompt(self) -> str:
        """The prompt of the edited picture, brackets removed."""
        return strip_brackets(self.marked_target_prompt)

    @property
    def blend_words(self) -> tuple[str, str] | None:
        """Source and target word of the local blend; one word alone stands for both; None without any."""
        return blend_words(self.blended_word)

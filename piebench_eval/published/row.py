"""A row of a published table, and what its columns may hold."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BeforeValidator, Field, model_validator

from piebench_eval.settings import Settings

MetricKey = Literal["structure_distance", "psnr", "lpips", "mse", "ssim", "clip_whole", "clip_edit"]
METRIC_KEYS: tuple[MetricKey, ...] = get_args(MetricKey)
"""Table 1's metrics in its order, by the keys that tables have for them."""

Family = Literal["sd1", "sd2", "sdxl", "sd3", "flux", "qwen", "autoregressive", "other"]
ReadFrom = Literal["paper", "readme", "notes"]
Masks = Literal["none", "predicted", "benchmark"]
Prompt = Literal["target prompt", "instruction", "both"]

_ARXIV = re.compile(r"arXiv (\d{2})(\d{2}\.\d{4,5})")
_GITHUB = re.compile(r"github ([\w.-]+/[\w.-]+)")
_YEAR = re.compile(r"\b20\d\d\b(?!\.)")


def _named_values(cell: Any) -> Any:
    """``steps=15;inversion.alpha=0.8`` as a mapping; what is no text is left to pydantic."""
    if not isinstance(cell, str):
        return cell
    parts = [part.partition("=") for part in cell.split(";")]
    if not all(name and value for name, _, value in parts):
        raise ValueError("has to be NAME=VALUE, several of them separated by ;")
    return {name.strip(): value.strip() for name, _, value in parts}


def _parsed(cell: Any) -> Any:
    values = _named_values(cell)
    return {
        name: yaml.safe_load(value) if isinstance(value, str) else value for name, value in values.items()
    }


def _words(cell: Any) -> Any:
    return tuple(cell.split()) if isinstance(cell, str) else cell


Printed = Annotated[Decimal, Field(ge=0)]
"""A mean with the digits that are printed, so that its rounding is known."""


class PublishedRow(Settings):
    """A row of a published table: a method on a model, and its means over PIE-Bench.

    Means are in Table 1's units (structure distance and LPIPS x10³, MSE x10⁴, SSIM x10²), with the digits
    that are printed. An empty field says that the source does not tell.

    Attributes:
        method: its name as printed.
        model: the model as the source calls it, such as ``FLUX.1-dev``.
        family: the family that the model is of.
        steps: number of sampling steps.
        structure_distance: DINO structure distance between edit and source, x10³.
        psnr: PSNR outside the mask, in dB.
        lpips: LPIPS outside the mask, x10³.
        mse: mean squared error outside the mask, x10⁴.
        ssim: SSIM outside the mask, x10².
        clip_whole: CLIP similarity of the edit and the target prompt.
        clip_edit: CLIP similarity of the edit inside the mask and the target prompt.
        source: where it is printed: name (arXiv number or GitHub repository, venue and year) and table.
        read_from: where its numbers were read: in the ``paper``, in the ``readme`` of its repository, or in
            ``notes`` about it, at second hand.
        images: how many pictures it is a mean of.
        masks_at_inference: masks that the editor was given: ``none``, ``predicted``, or the ``benchmark``'s.
        prompted_by: what the editor was told: ``target prompt``, ``instruction`` or ``both``.
        by: the method's ``authors``; ``copied``, where others print the authors' row; ``rerun`` by others.
        combination: the name of the combination that it is in this package, such as ``flowedit+plain``.
        recipe: the package's recipe with its published settings.
        settings: what the source tells of settings, by their names in ``--set``.
        uncounted: why its means are not of the same kind as others', and are held against nobody's.
        doubtful: metrics whose printed mean is probably wrong; ``note`` says why.
        misprints: what others print for this row in the place of its means, by metric; ``note`` says who.
        note: what else is known of it.
    """

    method: str = Field(min_length=1)
    model: str = Field(min_length=1)
    family: Family
    steps: int | None = Field(None, ge=1)
    structure_distance: Printed | None = None
    psnr: Printed | None = None
    lpips: Printed | None = None
    mse: Printed | None = None
    ssim: Printed | None = None
    clip_whole: Printed | None = None
    clip_edit: Printed | None = None
    source: str = Field(min_length=1)
    read_from: ReadFrom
    images: int | None = Field(None, ge=1)
    masks_at_inference: Masks | None = None
    prompted_by: Prompt | None = None
    by: Literal["authors", "copied", "rerun"] | None = None
    combination: str = ""
    recipe: str = ""
    settings: Annotated[dict[str, Any], BeforeValidator(_parsed)] = Field({})
    uncounted: str = ""
    doubtful: Annotated[tuple[MetricKey, ...], BeforeValidator(_words)] = ()
    misprints: Annotated[dict[MetricKey, Printed], BeforeValidator(_named_values)] = Field({})
    note: str = ""

    @model_validator(mode="after")
    def _is_told_of_what_is_printed(self) -> PublishedRow:
        if not self.printed:
            raise ValueError(f"no mean is given; one of {', '.join(METRIC_KEYS)} is needed")
        missing = [key for key in (*self.doubtful, *self.misprints) if key not in self.printed]
        if missing:
            raise ValueError(f"doubtful and misprints name {', '.join(missing)}, which the row does not have")
        return self

    @property
    def printed(self) -> dict[str, Decimal]:
        """The means by metric, in Table 1's order, with their printed digits."""
        values = {key: getattr(self, key) for key in METRIC_KEYS}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def numbers(self) -> dict[str, float]:
        """The means by metric, in Table 1's order."""
        return {key: float(value) for key, value in self.printed.items()}

    @property
    def counted_numbers(self) -> dict[str, float]:
        """The means that are not doubtful."""
        return {key: value for key, value in self.numbers.items() if key not in self.doubtful}

    @property
    def is_authors(self) -> bool:
        """Whether it is known to have the authors' own numbers."""
        return self.by in ("authors", "copied")

    @property
    def printed_in(self) -> str:
        """The source without its year and place, such as ``DNAEdit``."""
        return self.source.split(" (")[0]

    @property
    def year(self) -> int | None:
        """The year that the source names, else that of its arXiv number; None if it has neither.

        >>> base = {"method": "x", "model": "SD3", "family": "sd3", "psnr": 20, "read_from": "paper"}
        >>> sources = ("A (arXiv 2412.04301, CVPR 2025) Table 6", "B (arXiv 2503.23897)", "C")
        >>> [PublishedRow(**base, source=source).year for source in sources]
        [2025, 2025, None]
        """
        if found := _YEAR.findall(_ARXIV.sub("", self.source)):
            return int(found[-1])
        number = _ARXIV.search(self.source)
        return 2000 + int(number[1]) if number else None

    @property
    def link(self) -> str | None:
        """The address of the source: its arXiv page, or its repository; None if it names neither."""
        if number := _ARXIV.search(self.source):
            return f"https://arxiv.org/abs/{number[1]}{number[2]}"
        repository = _GITHUB.search(self.source)
        return f"https://github.com/{repository[1]}" if repository else None

    def as_misprinted(self) -> PublishedRow:
        """The row with what others print in the place of its means; itself if nobody does."""
        if not self.misprints:
            return self
        return self.model_copy(
            update={str(key): value for key, value in self.misprints.items()} | {"misprints": {}}
        )

"""Evaluation protocols: every choice between a saved image and a mean that can change a number.

The defaults are the published protocol (Ju et al., ICLR 2024: its evaluator under the libraries of its time).
The other values are known deviations, deliberate or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from piebench_eval.data.sample import TYPE_NAMES, MaskRuns
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_yaml_mapping
from piebench_eval.settings import Settings

ResizeFilter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos", "tensor_bicubic"]
"""Filters for edits of other sizes than their sources'."""


class PictureRules(Settings):
    """Processing of edited images before any metric."""

    panel: Literal["last", "second", "squeezed"] = Field(
        default="last",
        description="which panel of a saved strip is the edit; squeezed: the whole strip, made a square",
    )
    jpeg: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="quality of the JPEG that edits become before they are scored; none: as they are",
    )
    chroma: Literal["4:2:0", "4:4:4"] = Field(default="4:2:0", description="colour resolution of that JPEG")
    channels: Literal["rgb", "bgr"] = Field(default="rgb", description="order of the channels that are read")
    resize: ResizeFilter = Field(
        default="bicubic",
        description="filter that brings an edit of another size to its source's: PIL's, or that of a tensor, "
        "without antialiasing",
    )


class MaskRules(Settings):
    """Which pixels count as edited."""

    frame: bool = Field(default=True, description="the outermost pixels belong to every mask")
    background: Literal["outside", "inside", "everything"] = Field(
        default="outside", description="what counts as background, seen from the mask"
    )
    runs: MaskRuns = Field(
        default="start_length",
        description="what an annotation's numbers are taken for: start and length of each run; or lengths of "
        "runs that are outside and inside by turns, along the rows or down the columns, as COCO has them",
    )
    full: Literal["nan", "whole"] = Field(
        default="nan",
        description="pictures without background: they have no background scores, or are scored whole",
    )


class PromptRules(Settings):
    """The prompts for CLIP."""

    brackets: Literal["removed", "kept"] = Field(default="removed", description="[ and ] in the prompts")
    prefix: str = Field(default="", description="text before every prompt")
    suffix: str = Field(default="", description="text behind every prompt")
    target: Literal["prompt", "instruction"] = Field(
        default="prompt", description="what an edit is compared with: the target prompt, or the instruction"
    )
    too_long: Literal["cut", "truncated"] = Field(
        default="cut",
        description="a prompt of over 77 tokens: cut loses its end token, truncated keeps it",
    )


class StructureRules(Settings):
    """Preprocessing and features of the structure distance."""

    resize: Literal["bilinear", "bilinear_antialiased", "pil_bilinear", "pil_bicubic"] = Field(
        default="bilinear", description="how a picture becomes 224 x 224; pil: on grey levels, antialiased"
    )
    levels: Literal["0..255", "0..1", "-1..1"] = Field(
        default="0..255", description="value range that is normalised by ImageNet's mean and deviation"
    )
    normalise: bool = Field(default=True, description="subtract ImageNet's mean, divide by its deviation")
    layer: int = Field(default=11, ge=0, description="layer that is read, counted from 0")
    features: Literal["keys", "queries", "tokens"] = Field(
        default="keys", description="what is read there; tokens: the layer's output"
    )
    class_token: bool = Field(default=True, description="the class token takes part")
    heads: Literal["joined", "averaged"] = Field(
        default="joined",
        description="one similarity of all heads' keys, or one per head and the mean of their distances",
    )


class BackgroundRules(Settings):
    """PSNR and MSE."""

    area: Literal["picture", "kept"] = Field(
        default="picture",
        description="mean over the whole picture, its masked region black, or over kept pixels only",
    )
    difference: Literal["float", "uint8"] = Field(
        default="float", description="uint8: differences of grey levels wrap around (MSE)"
    )


class LpipsRules(Settings):
    """LPIPS."""

    network: Literal["squeezenet", "alexnet", "vgg16"] = Field(
        default="squeezenet", description="backbone of the LPIPS columns that name none"
    )
    levels: Literal["-1..1", "0..1"] = Field(default="-1..1", description="value range of its input")
    hole: Literal["black", "grey"] = Field(
        default="black", description="the masked region; grey: it is set to 0 in -1..1, not before"
    )
    area: Literal["picture", "kept"] = Field(
        default="picture", description="kept: the map of the unmasked pictures, averaged over kept pixels"
    )
    side: int | None = Field(default=None, ge=32, description="pictures are resized to so many pixels before")


class SsimRules(Settings):
    """SSIM."""

    border: Literal["left_out", "included"] = Field(
        default="left_out",
        description="the outer 5 pixels of the SSIM map (torchmetrics 1.2 leaves them out)",
    )
    window: Literal["gaussian", "uniform"] = Field(
        default="gaussian", description="11 pixels, sigma 1.5; or scikit-image's default, 7 pixels"
    )
    levels: Literal["0..1", "0..255"] = Field(default="0..1", description="value range of its input")
    data_range: float = Field(default=1.0, gt=0, description="the value range it is computed for")
    colour: Literal["rgb", "grey"] = Field(default="rgb", description="on three channels, or on grey levels")
    area: Literal["picture", "kept"] = Field(
        default="picture", description="kept: the map of the unmasked pictures, averaged over kept pixels"
    )


class ClipRules(Settings):
    """Network, preprocessing and edited region of the CLIP scores."""

    network: str | None = Field(default=None, description="another CLIP than the one asked for by --clip")
    processor: Literal[
        "pil", "torchvision", "pil_bilinear", "tensor_bicubic", "tensor_bicubic_antialiased"
    ] = Field(default="pil", description="how a picture becomes 224 x 224")
    activation: Literal["own", "gelu"] = Field(
        default="own", description="gelu: in place of QuickGELU, as open_clip does by default"
    )
    edit_part: Literal["masked", "box", "framed_box", "masked_box", "white"] = Field(
        default="masked",
        description="the edited region: black around it; its bounding box, before or after the frame joins "
        "the mask; black around it and its box; white around it",
    )


class AverageRules(Settings):
    """From a score per image to a mean."""

    nan: Literal["skipped", "zero"] = Field(
        default="skipped", description="pictures without background: left out, or counted as 0"
    )
    inf: Literal["skipped", "kept", "100"] = Field(
        default="skipped", description="PSNR of identical pictures: left out, averaged to inf, or 100 dB"
    )
    psnr: Literal["mean", "pooled"] = Field(
        default="mean", description="mean of the PSNRs, or PSNR of the mean MSE"
    )
    types: tuple[str, ...] | None = Field(default=None, description="editing types that count; none: all")
    over: Literal["pictures", "types"] = Field(
        default="pictures",
        description="mean over all pictures, or over the means of the editing types, each of the same weight",
    )
    pictures: Literal["all", "with_background"] = Field(
        default="all",
        description="pictures that count, in all metrics: all, or those whose mask leaves a background",
    )

    @field_validator("types")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or set(value) - set(TYPE_NAMES)):
            raise ValueError(f"use editing types among {', '.join(TYPE_NAMES)}")
        return value


class Protocol(Settings):
    """A protocol. A metric names the sections that its scores depend on."""

    pictures: PictureRules = PictureRules()
    mask: MaskRules = MaskRules()
    prompts: PromptRules = PromptRules()
    structure: StructureRules = StructureRules()
    background: BackgroundRules = BackgroundRules()
    lpips: LpipsRules = LpipsRules()
    ssim: SsimRules = SsimRules()
    clip: ClipRules = ClipRules()
    average: AverageRules = AverageRules()

    def with_changes(self, changes: Changes) -> Protocol:
        """A copy with other values for some fields, given as ``{section: {field: value}}``."""
        sections = {
            section: getattr(self, section).model_copy(update=fields) for section, fields in changes.items()
        }
        return self.model_copy(update=sections)

    def differences(self, other: Protocol) -> list[str]:
        """The fields in which two protocols differ, as ``section.field: value here -> value there``."""
        return [
            f"{section}.{field}: {mine} -> {theirs}"
            for section in type(self).model_fields
            for field, mine in getattr(self, section)
            if (theirs := getattr(getattr(other, section), field)) != mine
        ]


Changes = dict[str, dict[str, Any]]
"""Values for some fields of a protocol, ``{section: {field: value}}``."""

PAPER = Protocol()
"""The published protocol."""

MODERN = PAPER.with_changes(
    {
        "structure": {"resize": "bilinear_antialiased"},
        "ssim": {"border": "included"},
        "clip": {"processor": "torchvision"},
    }
)
"""The protocol of the paper's evaluator under today's torchvision, torchmetrics and transformers."""

PROTOCOLS = {"paper": PAPER, "modern": MODERN}


def read_protocol(name: str) -> Protocol:
    """A protocol by name, or from a YAML file with the fields that differ from ``paper``.

    Raises:
        PiebenchError: the name or file does not exist, or a field or value is unknown.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    file = Path(name)
    if not file.is_file():
        raise PiebenchError(f"--protocol {name}: use {', '.join(PROTOCOLS)} or a YAML file")
    fields = read_yaml_mapping(file, "write what differs from the paper's, as in 'pictures: {jpeg: 75}'")
    return parse_protocol(fields, f"--protocol {file}")


def parse_protocol(content: Any, place: str) -> Protocol:
    """Parse the fields of a protocol file.

    Raises:
        PiebenchError: a field or value is unknown; the message starts with the place.
    """
    try:
        return Protocol.model_validate(content)
    except ValidationError as error:
        problems = [
            f"{place}: {'.'.join(map(str, problem['loc'])) or 'it'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise PiebenchError("\n".join(problems)) from None

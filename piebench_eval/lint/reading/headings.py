"""What a column's heading says: metric and unit, or label, in the many spellings of papers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.reading.cells import squeezed
from piebench_eval.lint.rules.clip_models import clip_in
from piebench_eval.metrics import columns


class Role(StrEnum):
    """What a column holds."""

    METRIC = "metric"
    COUNT = "count"
    METHOD = "method"
    INVERSION = "inversion"
    MODEL = "model"
    IMAGES = "images"
    TYPE = "type"
    CLIP_MODEL = "clip_model"
    SOURCE = "source"
    METRIC_NAME = "metric_name"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Heading:
    """What a heading says.

    Attributes:
        role: what its column holds.
        key: the metric of a column of means or counts.
        power: its unit as a power of ten, if the heading says it.
        clip_model: the CLIP that it names, if any.
    """

    role: Role
    key: str = ""
    power: int | None = None
    clip_model: str = ""


_SCORES = {
    columns.STRUCTURE_DISTANCE: "structure_distance",
    columns.PSNR: "psnr",
    columns.LPIPS: "lpips",
    columns.MSE: "mse",
    columns.SSIM: "ssim",
    columns.CLIP_TARGET: "clip_whole",
    columns.CLIP_EDIT_PART: "clip_edit",
}
"""Columns of scores files, whose unit is the score's."""

_POWER = re.compile(
    r"[_^]?\s*[(\[]?\s*(?:[×x*·]\s*)?(?<![\d.])(?:10\s*\^\s*\(?\s*[-−]?\s*(\d)\b\s*\)?|1e[-−+]?(\d)\b|1(0{2,5})\b)\s*[)\]]?"
)
_ELSEWHERE = re.compile(
    r"everywhere|to[ _]ideal|alex|vgg|aesthetic|\bms[- _]?ssim|\bdssim|directional|\bdir\b|image[- _]image|"
    r"\bclip[- _]?(i|img|image|dir|d|sim[- _]?i)\b|\bdino[- _]?(i|score|sim\w*)\b|"
    r"\b(sem|std|low|high|nan|inf|ci|variance|rank|difference|tolerance)\b"
)
"""Metrics and statistics that are none of Table 1's means."""

_OTHER_REGION = re.compile(
    r"\b(whole|entire|full|global|edited|foreground|fg|inside|edit[ _]part|edit[ _]region)\b"
)
_METRICS = (
    ("ssim", re.compile(r"ssim|structur\w* similarity")),
    ("psnr", re.compile(r"psnr")),
    ("lpips", re.compile(r"lpips")),
    ("mse", re.compile(r"\bmse|(?<![a-z])mse\b|mean squared error")),
    (
        "structure_distance",
        re.compile(r"struc|\bdino\b.*dist|^(self[- ]similarity )?dist(ance|\.)?$|\bs(truct)?[- ]?dist\b"),
    ),
)
_CLIP = re.compile(r"clip|\bsimilarity\b|\bsim\.?\b|text[- ]alignment")
_EDITED = re.compile(r"edit|\bclip[- _]?e\b|\blocal|region|\bpart\b|\bmask")
_WHOLE = re.compile(r"whole|\bclip[- _]?[wt]\b|entire|full|global|target|overall")
_LABELS = (
    (Role.CLIP_MODEL, re.compile(r"clip[-_ ]?(model|backbone|network|encoder|version|variant)")),
    (Role.IMAGES, re.compile(r"(#|no\.?|num(ber)?( of)?|n)?[ _]*(images|pictures|samples)|n|#")),
    (Role.METRIC_NAME, re.compile(r"metrics?")),
    (Role.TYPE, re.compile(r"(edit(ing)?[ _])?(type|category|categories)")),
    (Role.INVERSION, re.compile(r"(inversions?|inverse|invert)([ _](method|technique))?")),
    (
        Role.METHOD,
        re.compile(
            r"(editing|editor|edit(ing)?[ _])?(methods?|approach|technique|algorithm|name)?|row|editing|ours"
        ),
    ),
    (Role.MODEL, re.compile(r".*\b(model|backbone|base)\b.*|t2i")),
    (Role.SOURCE, re.compile(r"source|paper|from|printed in")),
)


def read_heading(text: str) -> Heading:
    r"""What a heading says.

    Args:
        text: its lines in one, the group's first, without markup.

    >>> heading = read_heading("Structure Distance_×10^3 ↓")
    >>> heading.key, heading.power
    ('structure_distance', 3)
    >>> headings = "CLIP Similarity Whole ↑", "Edited", "Background Preservation PSNR", "MS-SSIM"
    >>> [read_heading(text).key for text in headings]
    ['clip_whole', 'clip_edit', 'psnr', '']
    >>> read_heading("Method").role.value, read_heading("CLIP (ViT-B/16) Edited").clip_model
    ('method', 'ViT-B/16')
    """
    small = squeezed(text).lower()
    if small in QUANTITIES:
        return Heading(Role.METRIC, small)
    if small in _SCORES:
        return Heading(Role.METRIC, _SCORES[small], power=0)
    if small.endswith("_n") and small[:-2] in QUANTITIES:
        return Heading(Role.COUNT, small[:-2])
    if _ELSEWHERE.search(small.replace("_", " ")):
        return Heading(Role.UNKNOWN)
    power, rest = _unit(small)
    for role, pattern in _LABELS:
        if pattern.fullmatch(rest):
            return Heading(role)
    if key := _metric(rest):
        return Heading(Role.METRIC, key, power, clip_in(text) if key.startswith("clip") else "")
    return Heading(Role.UNKNOWN)


def _unit(text: str) -> tuple[int | None, str]:
    """The unit in a heading, and the heading without it, without arrows and without remarks.

    >>> _unit("lpips^× 10^3 ↓"), _unit("mse (×1e4)"), _unit("ssim (%)"), _unit("psnr ↑")
    ((3, 'lpips'), (4, 'mse'), (2, 'ssim'), (None, 'psnr'))
    """
    power = None
    if found := _POWER.search(text):
        power = int(found[1] or found[2] or len(found[3]))
        text = text[: found.start()] + " " + text[found.end() :]
    elif "%" in text or "per cent" in text:
        power = 2
    text = re.sub(r"[↑↓$%]|\(\s*(db|%|)\s*\)|\[\s*\]|[_^]\s*(?=\s|$)", " ", text)
    return power, " ".join(text.split())


def _metric(text: str) -> str:
    """The metric that a heading names; empty if it names none, or not the part of the picture."""
    words = text.replace("_", " ")
    for key, pattern in _METRICS:
        if pattern.search(words):
            return "" if key != "structure_distance" and _OTHER_REGION.search(words) else key
    if not _CLIP.search(words) and not re.fullmatch(
        r"(whole|edit(ed)?)( (image|picture|region|part))?", words
    ):
        return ""
    if _EDITED.search(words):
        return "clip_edit"
    return "clip_whole" if _WHOLE.search(words) else ""

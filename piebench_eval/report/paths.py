"""Paths inside a report folder, relative to it and with forward slashes."""

PAGE = "index.html"
DATA = "data.js"
SCRIPT = "report.js"
PLOTLY = "plotly-basic.min.js"
PLOTLY_LICENCE = "plotly-LICENSE.txt"
TABLE_CSV = "table.csv"
TABLE_LATEX = "table.tex"
MARKER = "report.json"
"""Marks a folder that ``piebench report`` made and may replace."""

SOURCES = "sources"
OUTLINES = "outlines"
THUMBNAILS = "thumbnails"
COPIES = "copies"
SOURCE_THUMBNAILS = f"{THUMBNAILS}/source"

PICTURE_SUFFIX = ".webp"
OUTLINE_SUFFIX = ".png"


def source(sample: int, view: int = 0) -> str:
    """A source image as the combinations of a view loaded it, at most 512 pixels."""
    return f"{SOURCES}/{view}/{sample}{PICTURE_SUFFIX}"


def outline(sample: int, view: int = 0) -> str:
    """The outline of a sample's mask in that view, transparent elsewhere."""
    return f"{OUTLINES}/{view}/{sample}{OUTLINE_SUFFIX}"


def source_thumbnail(sample: int, view: int = 0) -> str:
    """Thumbnail of a source image in a view."""
    return f"{SOURCE_THUMBNAILS}/{view}/{sample}{PICTURE_SUFFIX}"


def thumbnail(combination: int, sample: int) -> str:
    """Thumbnail of an edit."""
    return f"{THUMBNAILS}/{combination}/{sample}{PICTURE_SUFFIX}"


def copy(combination: int, sample: int) -> str:
    """Copy of an edit from outside a run folder, at most 512 pixels."""
    return f"{COPIES}/{combination}/{sample}{PICTURE_SUFFIX}"

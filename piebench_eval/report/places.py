"""Where things are in a report folder; every path is relative to it and has forward slashes."""

PAGE = "index.html"
DATA = "data.js"
SCRIPT = "report.js"
PLOTLY = "plotly-basic.min.js"
PLOTLY_LICENCE = "plotly-LICENSE.txt"
MARKER = "report.json"
"""Says that ``piebench report`` made the folder, and may therefore replace it."""

SOURCES = "sources"
OUTLINES = "outlines"
THUMBNAILS = "thumbnails"
COPIES = "copies"
SOURCE_THUMBNAILS = f"{THUMBNAILS}/source"

PICTURE_SUFFIX = ".webp"
OUTLINE_SUFFIX = ".png"


def source(sample: int) -> str:
    """A source as it was edited: square, at most 512 pixels."""
    return f"{SOURCES}/{sample}{PICTURE_SUFFIX}"


def outline(sample: int) -> str:
    """The outline of a sample's mask, transparent elsewhere."""
    return f"{OUTLINES}/{sample}{OUTLINE_SUFFIX}"


def source_thumbnail(sample: int) -> str:
    """A source, small."""
    return f"{SOURCE_THUMBNAILS}/{sample}{PICTURE_SUFFIX}"


def thumbnail(combination: int, sample: int) -> str:
    """An edit, small."""
    return f"{THUMBNAILS}/{combination}/{sample}{PICTURE_SUFFIX}"


def copy(combination: int, sample: int) -> str:
    """An edit that lies outside the run folder, at most 512 pixels."""
    return f"{COPIES}/{combination}/{sample}{PICTURE_SUFFIX}"

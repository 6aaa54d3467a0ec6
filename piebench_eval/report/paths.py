"""Where things are in a report folder; every path is relative to it and has forward slashes."""

PAGE = "index.html"
DATA = "data.js"
SCRIPT = "report.js"
PLOTLY = "plotly-basic.min.js"
PLOTLY_LICENCE = "plotly-LICENSE.txt"
TABLE_CSV = "table.csv"
TABLE_LATEX = "table.tex"
MARKER = "report.json"
"""Says that ``piebench report`` made the folder, and may therefore replace it."""

SOURCES = "sources"
OUTLINES = "outlines"
THUMBNAILS = "thumbnails"
COPIES = "copies"
SOURCE_THUMBNAILS = f"{THUMBNAILS}/source"

PICTURE_SUFFIX = ".webp"
OUTLINE_SUFFIX = ".png"


def source(sample: int, view: int = 0) -> str:
    """A source as it was edited by the combinations of a view, at most 512 pixels."""
    return f"{SOURCES}/{view}/{sample}{PICTURE_SUFFIX}"


def outline(sample: int, view: int = 0) -> str:
    """The outline of a sample's mask on such a source, transparent elsewhere."""
    return f"{OUTLINES}/{view}/{sample}{OUTLINE_SUFFIX}"


def source_thumbnail(sample: int, view: int = 0) -> str:
    """Such a source, small."""
    return f"{SOURCE_THUMBNAILS}/{view}/{sample}{PICTURE_SUFFIX}"


def thumbnail(combination: int, sample: int) -> str:
    """An edit, small."""
    return f"{THUMBNAILS}/{combination}/{sample}{PICTURE_SUFFIX}"


def copy(combination: int, sample: int) -> str:
    """An edit that lies outside the run folder, at most 512 pixels."""
    return f"{COPIES}/{combination}/{sample}{PICTURE_SUFFIX}"

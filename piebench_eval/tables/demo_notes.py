"""What each column of the demo's table can tell, and what it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from piebench_eval.tables.layout import TableMetric

_NOTES = (
    (
        {"structure_distance": "Struct."},
        "how far the layout has moved from the source's; best for edits that do nothing, and far from 0 for "
        "ideal edits, so by itself it ranks nothing",
    ),
    (
        {"psnr": "PSNR", "lpips": "LPIPS", "mse": "MSE", "ssim": "SSIM"},
        "how much of what lies outside the mask has stayed; blind to the edit, so source-copy is best",
    ),
    (
        {"clip_whole": "CLIP whole"},
        "tells an edit from no edit (see oracle and source-copy); it cannot rank good edits, of which some "
        "score above the ideal ones",
    ),
    (
        {"clip_edit": "CLIP edited"},
        "ranks nothing: the small CLIP has never seen a picture that is black outside the mask; the ideal "
        "edits score below most others, and 0.00 in whole types",
    ),
    (
        {"psnr_to_ideal": "PSNR to ideal", "lpips_to_ideal": "LPIPS to ideal"},
        "distance of the whole picture from the ideal edit: a wrong edit and a spoilt background both "
        "count, and so does a right edit in another place; source-copy shows how far no edit is",
    ),
    (
        {"recognised": "Recognised"},
        "share of edits off which a check of pixels reads what it reads off the ideal edit: objects, "
        "colours, materials, background and style, but not places. An edit is right or wrong as a whole, so "
        "with ten of them the standard error is up to 17 points",
    ),
)


def column_notes(metrics: Iterable[TableMetric]) -> list[str]:
    """A line for each kind of column that is shown.

    Args:
        metrics: those of the table.
    """
    shown = {metric.key for metric in metrics}
    lines = []
    for names, note in _NOTES:
        if told := [name for key, name in names.items() if key in shown]:
            lines.append(f"{', '.join(told)}: {note}")
    return lines

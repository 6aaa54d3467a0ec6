"""Columns, units and row order of Table 1."""

from dataclasses import dataclass

from piebench_eval.metrics import columns


@dataclass(frozen=True)
class TableMetric:
    """A column of Table 1.

    Attributes:
        key: its name in the published numbers and in table files.
        column: its column in scores.csv.
        title: its heading, in two lines.
        scale: factor from the score to the printed unit.
    """

    key: str
    column: str
    title: str
    scale: float


METRICS = (
    TableMetric("structure_distance", columns.STRUCTURE_DISTANCE, "Struct.\n×10³ ↓", 1e3),
    TableMetric("psnr", columns.PSNR, "PSNR\n↑", 1),
    TableMetric("lpips", columns.LPIPS, "LPIPS\n×10³ ↓", 1e3),
    TableMetric("mse", columns.MSE, "MSE\n×10⁴ ↓", 1e4),
    TableMetric("ssim", columns.SSIM, "SSIM\n×10² ↑", 1e2),
    TableMetric("clip_whole", columns.CLIP_TARGET, "CLIP\nwhole ↑", 1),
    TableMetric("clip_edit", columns.CLIP_EDIT_PART, "CLIP\nedited ↑", 1),
)

METHOD_ORDER = ("p2p", "masactrl", "pnp")
INVERSION_ORDER = ("ddim", "null_text", "edit_friendly", "direct")


def order_of(name: str, known: tuple[str, ...]) -> tuple[int, str]:
    """Sort key: the paper's order first, then by name."""
    return (known.index(name) if name in known else len(known), name)

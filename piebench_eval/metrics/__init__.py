"""Metrics of edited images, after PIE-Bench's protocol (Ju et al., ICLR 2024).

Commands import the metrics' modules to check names of columns, so those import torch only inside functions.
"""

from piebench_eval.metrics import columns
from piebench_eval.metrics.base import Metric
from piebench_eval.registry import Registry

_HERE = "piebench_eval.metrics"

METRICS: Registry[Metric] = Registry(
    "metric",
    Metric,
    {
        columns.STRUCTURE_DISTANCE: f"{_HERE}.structure:STRUCTURE_DISTANCE",
        columns.PSNR: f"{_HERE}.background:PSNR_OUTSIDE",
        columns.LPIPS: f"{_HERE}.lpips:LPIPS_OUTSIDE",
        columns.MSE: f"{_HERE}.background:MSE_OUTSIDE",
        columns.SSIM: f"{_HERE}.ssim:SSIM_OUTSIDE",
        columns.CLIP_SOURCE: f"{_HERE}.clip_score:CLIP_SOURCE",
        columns.CLIP_TARGET: f"{_HERE}.clip_score:CLIP_TARGET",
        columns.CLIP_EDIT_PART: f"{_HERE}.clip_score:CLIP_EDIT_PART",
        "psnr": f"{_HERE}.background:PSNR_EVERYWHERE",
        "lpips": f"{_HERE}.lpips:LPIPS_EVERYWHERE",
        "mse": f"{_HERE}.background:MSE_EVERYWHERE",
        "ssim": f"{_HERE}.ssim:SSIM_EVERYWHERE",
        "psnr_edit_part": f"{_HERE}.background:PSNR_INSIDE",
        "lpips_edit_part": f"{_HERE}.lpips:LPIPS_INSIDE",
        "mse_edit_part": f"{_HERE}.background:MSE_INSIDE",
        "ssim_edit_part": f"{_HERE}.ssim:SSIM_INSIDE",
        "lpips_alex_unedit_part": f"{_HERE}.lpips:LPIPS_ALEX",
        "lpips_vgg_unedit_part": f"{_HERE}.lpips:LPIPS_VGG",
        "clip_directional_similarity": f"{_HERE}.clip_score:CLIP_DIRECTIONAL",
        "dino_similarity": f"{_HERE}.structure:DINO_SIMILARITY",
        "psnr_to_ideal": f"{_HERE}.ideal:PSNR_TO_IDEAL",
        "lpips_to_ideal": f"{_HERE}.ideal:LPIPS_TO_IDEAL",
        "recognised": f"{_HERE}.ideal:RECOGNISED",
    },
)
"""Metrics by column of the scores file; plugins add theirs by the entry points ``piebench.metrics``.

The column ``psnr`` is that of the whole image. Table 1's PSNR is outside the mask: the column
``psnr_unedit_part``, whose key in tables is ``psnr`` (``piebench_eval.tables.layout``). Likewise ``lpips``,
``mse`` and ``ssim``.
"""

"""The official columns, in the official order."""

STRUCTURE_DISTANCE = "structure_distance"
PSNR = "psnr_unedit_part"
LPIPS = "lpips_unedit_part"
MSE = "mse_unedit_part"
SSIM = "ssim_unedit_part"
CLIP_SOURCE = "clip_similarity_source_image"
CLIP_TARGET = "clip_similarity_target_image"
CLIP_EDIT_PART = "clip_similarity_target_image_edit_part"

COLUMNS = (STRUCTURE_DISTANCE, PSNR, LPIPS, MSE, SSIM, CLIP_SOURCE, CLIP_TARGET, CLIP_EDIT_PART)
"""Names as the reference evaluator's CSV has them."""

IDEAL_COLUMNS = ("psnr_to_ideal", "lpips_to_ideal", "recognised")
"""Columns that hold edits against their ideal edits, which only a drawn benchmark has."""

BACKGROUND_COLUMNS = (PSNR, LPIPS, MSE, SSIM)
"""Columns that look outside the mask only: nan where the mask covers the whole picture."""

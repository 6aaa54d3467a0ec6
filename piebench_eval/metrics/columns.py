"""Names of the official columns and of the ideal-edit columns of the scores file."""

STRUCTURE_DISTANCE = "structure_distance"
PSNR = "psnr_unedit_part"
LPIPS = "lpips_unedit_part"
MSE = "mse_unedit_part"
SSIM = "ssim_unedit_part"
CLIP_SOURCE = "clip_similarity_source_image"
CLIP_TARGET = "clip_similarity_target_image"
CLIP_EDIT_PART = "clip_similarity_target_image_edit_part"

COLUMNS = (STRUCTURE_DISTANCE, PSNR, LPIPS, MSE, SSIM, CLIP_SOURCE, CLIP_TARGET, CLIP_EDIT_PART)
"""The official columns, named and ordered as in the reference evaluator's CSV."""

IDEAL_COLUMNS = ("psnr_to_ideal", "lpips_to_ideal", "recognised")
"""Columns that compare with ideal edits, which only drawn benchmarks have."""

BACKGROUND_COLUMNS = (PSNR, LPIPS, MSE, SSIM)
"""Columns of the region outside the mask: nan where the mask covers the whole image."""

"""A plain implementation of the paper's twelve combinations: one image at a time, no row or map saved.

Tests and the benchmark compare the package with it. It evaluates all UNet rows of the published code, unused
passes included, and materialises what the package skips, merges or computes in a fused kernel. It shares with
the package the schedule, the text embeddings, the encoded image and the plan of words, but neither the loop
nor the rows, the attention control or the inversions. Stable Diffusion XL, which the published code lacks, is
edited by the same passes.
"""

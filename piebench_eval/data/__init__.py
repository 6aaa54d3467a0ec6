"""Benchmark data: samples, masks, images and prompts; loading, downloading and converting benchmarks."""

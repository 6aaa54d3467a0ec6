"""Benchmark data: samples, their masks and images, and the loaders that read a benchmark folder."""

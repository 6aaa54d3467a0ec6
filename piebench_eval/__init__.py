"""piebench-eval: run, score and tabulate PIE-Bench, the benchmark of text-guided image editing."""

__version__ = "0.1.0"

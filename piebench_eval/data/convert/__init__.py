"""Other formats of benchmarks, as folders in the official layout."""

"""What is edited: samples, their masks and pictures, and the loaders that read a benchmark folder."""

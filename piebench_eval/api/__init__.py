"""What ``import piebench_eval`` offers: runs, scores and tables as pandas objects, and single edits."""

"""Tables: means per combination, the published numbers, their comparison, and output formats."""

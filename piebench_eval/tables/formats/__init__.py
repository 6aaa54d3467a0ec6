"""Tables as terminal output, Markdown, LaTeX, CSV and JSON."""

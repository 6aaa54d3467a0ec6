"""Read tables of means from CSV, LaTeX and Markdown files as papers write them."""

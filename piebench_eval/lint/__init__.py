"""Find what cannot be true in a table of means, or cannot be compared, without any picture.

``reading`` makes tables of CSV, LaTeX and Markdown files, ``rules`` has a file per kind of fault, and
``check`` applies the rules. Nothing here needs PyTorch or pandas.
"""

"""Markup out of cells, and numbers out of their text."""

from __future__ import annotations

import html
import re
from decimal import Decimal

_SYMBOLS = {
    "uparrow": "↑", "downarrow": "↓", "Uparrow": "↑", "Downarrow": "↓", "times": "×", "pm": "±", "infty": "∞",
    "cdot": "·", "approx": "≈", "sim": "~", "textasciitilde": "~", "textbackslash": "\\", "textless": "<",
    "textgreater": ">", "textbar": "|",
}  # fmt: skip
_SWITCHES = frozenset(
    """
    bf it sc sf tt rm em bfseries itshape upshape scshape sffamily ttfamily rmfamily boldmath unboldmath
    normalfont tiny scriptsize footnotesize small normalsize large Large centering raggedright quad
    qquad hfill displaystyle textstyle scriptstyle toprule midrule bottomrule hline hdashline
    addlinespace noindent xspace left right big Big strut dagger ddagger textdagger textdaggerdbl star ast
    dag ddag checkmark cmark xmark protect relax newline smallskip medskip bigskip
    """.split()  # noqa: SIM905
)
"""Commands that print nothing: fonts, sizes, rules and spaces."""
_WITHOUT_TEXT = {
    "cite": 1, "citep": 1, "citet": 1, "citeyear": 1, "citealp": 1, "ref": 1, "cref": 1, "label": 1, "url": 1,
    "vspace": 1, "hspace": 1, "cmidrule": 1, "cline": 1, "cdashline": 1, "specialrule": 3, "rule": 2,
    "rowcolor": 1, "cellcolor": 1, "columncolor": 1, "arrayrulecolor": 1, "color": 1, "textcolor": 1,
    "colorbox": 1, "phantom": 1, "hphantom": 1, "vphantom": 1, "footnote": 1, "footnotemark": 0, "tnote": 1,
    "setlength": 2, "includegraphics": 1, "multicolumn": 2, "multirow": 2, "rotatebox": 1, "scalebox": 1,
    "resizebox": 2, "fontsize": 2, "raisebox": 1, "parbox": 1, "href": 1, "adjustbox": 1, "noalign": 1,
}  # fmt: skip
"""How many arguments of a command are no text; those after them are."""

_MOST_DIGITS = 30
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?|\\(.)", re.S)
_SUPERSCRIPT = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_NORMAL = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
# A mean, with its unit, and behind it its spread or a difference.
_NUMBER = re.compile(
    r"[~≈]?\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s*(?:dB|%)?"
    r"\s*(?:[_^]?\s*\(?\s*(?:±|\+/?-|[+-])\s*[\d.]+\s*%?\s*\)?|[_^]?\([^()]*\))?",
    re.I,
)
_MARKS = re.compile(r"[*†‡§¶↑↓▲▼✓🥇🥈🥉`]|(?<=\d)\s*[_^]\{?[a-z*†‡]\}?$")


def plain_latex(text: str) -> str:
    r"""The text of a LaTeX cell.

    >>> plain_latex(r"\textbf{22.46}$_{\pm 0.1}$"), plain_latex(r"\cellcolor[HTML]{EFEFEF}\underline{54.55}")
    ('22.46_± 0.1', '54.55')
    >>> plain_latex(r"LPIPS$^{\times 10^3}$ $\downarrow$"), plain_latex(r"{\bf P2P}~\cite{p2p}")
    ('LPIPS^× 10^3 ↓', 'P2P')
    >>> plain_latex(r"Ours\textsuperscript{\textdagger}")
    'Ours'
    """
    made, position = [], 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            piece, position = _command(text, position)
            made.append(piece)
            continue
        made.append({"~": " ", "{": "", "}": "", "$": ""}.get(character, character))
        position += 1
    return squeezed("".join(made))


def plain_markdown(text: str) -> str:
    r"""The text of a Markdown cell.

    >>> [plain_markdown(text) for text in ("**22.46**", "<u>54.55</u>", "[P2P](https://x.y) &darr;")]
    ['22.46', '54.55', 'P2P ↓']
    >>> plain_markdown("LPIPS $_{\\times 10^3}$")
    'LPIPS _× 10^3'
    """
    text = re.sub(r"<sup>", "^", text, flags=re.I)
    text = re.sub(r"</su[bp]>", "", text, flags=re.I)
    text = re.sub(r"<[^<>]*>", " ", text)
    text = re.sub(r"!?\[([^\[\]]*)\]\([^()]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__|~~)(.+?)\1", r"\2", text)
    text = re.sub(r"(?<![\w*])([*_])(?!\s)([^*_]+?)\1(?![\w*])", r"\2", text)
    text = html.unescape(text).replace("`", "")
    return plain_latex(text) if "$" in text or "\\" in text else squeezed(text)


def number_in(text: str) -> str | None:
    """The number of a cell, without its marks, spread and difference; None if the cell is no number.

    >>> [number_in(text) for text in ("22.46", "22.46 ± 0.10", "22.46_(+0.2)", "1.1e-3", "84.76%", "22.46*")]
    ['22.46', '22.46', '22.46', '1.1e-3', '84.76', '22.46']
    >>> [number_in(text) for text in ("-", "22.46 / 25.02", "P2P", "", "v1.5")]
    [None, None, None, None, None]
    """
    text = _MARKS.sub("", text.replace("−", "-").replace("–", "-")).strip()
    found = _NUMBER.fullmatch(text)
    if found is None or abs(Decimal(found["number"]).adjusted()) > _MOST_DIGITS:
        return None
    return found["number"]


def squeezed(text: str) -> str:
    """Text with single spaces, and with raised digits as ``^3``."""
    return " ".join(_SUPERSCRIPT.sub(lambda found: "^" + found[0].translate(_NORMAL), text).split())


def _command(text: str, start: int) -> tuple[str, int]:
    """What a command at a place of the text prints, without its last argument, and where to read on."""
    found = _COMMAND.match(text, start)
    if found is None:
        return "", start + 1
    if found[2]:  # an escaped sign, a space, or a line break in a cell
        return {"\\": " ", ",": "", ";": " ", "!": "", ":": " ", " ": " "}.get(
            found[2], found[2]
        ), found.end()
    name, position = found[1], found.end()
    arguments = _WITHOUT_TEXT.get(name, 0)
    position = (
        _after_option(text, position) if arguments or text[position : position + 1] == "[" else position
    )
    for _ in range(arguments):
        position = _after_argument(text, position)
        position = _after_option(text, position) if name == "multirow" else position
    if name in _SYMBOLS:
        return _SYMBOLS[name], position
    if name in _SWITCHES or arguments or text[position : position + 1] == "{" or name in _WITHOUT_TEXT:
        return " " if name in _SWITCHES else "", position
    return name, position  # such as \ours: its name says what it is


def _after_option(text: str, position: int) -> int:
    """Behind what stands in brackets, or in the parentheses of a rule."""
    for opening, closing in ("()", "[]", "()"):
        if text[position : position + 1] == opening and closing in text[position:]:
            position = text.index(closing, position) + 1
    return position


def _after_argument(text: str, position: int) -> int:
    """Behind an argument in braces, or behind one sign."""
    while position < len(text) and text[position].isspace():
        position += 1
    if text[position : position + 1] != "{":
        return position + 1
    depth = 0
    for place in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    return len(text)

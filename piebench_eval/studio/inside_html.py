"""The inside of an edit in HTML. All texts are escaped; pictures are within the page."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from piebench_eval.studio.inside import (
    heat,
    picture_of,
    png_address,
    some_masks,
    thumbnail_address,
    veil,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from piebench_eval.diffusion.inside import Inside, Part, Reconstruction, WordMap
    from piebench_eval.studio.session import Made

CSS = """
.inside h4 {margin: 1em 0 .2em}
.inside h4:first-child {margin-top: 0}
.inside p {margin: .2em 0 .5em}
.inside .shelf {display: grid; grid-template-columns: repeat(auto-fill, minmax(6em, 1fr)); gap: .6em}
.inside .film {grid-template-columns: repeat(8, minmax(4.5em, 1fr)); overflow-x: auto}
.inside figure {margin: 0; max-width: 9em}
.inside .over {background-size: 100% 100%; line-height: 0}
.inside .of-source {background-image: var(--source)}
.inside .of-edit {background-image: var(--edit)}
.inside img {width: 100%; height: auto; aspect-ratio: var(--shape); display: block; margin: 0}
.inside figcaption {text-align: center; overflow-wrap: anywhere}
.inside figcaption small {opacity: .75}
"""


def inside_html(made: Made) -> str:
    """All that was seen of an edit."""
    inside = made.inside
    steps = "{} of {} steps".format
    parts = [
        f"<h4>{escape(made.name)}: the target prompt's words, over the edit</h4>",
        _words_html(inside, "target_words", "edit", steps(inside.target_steps, inside.steps)),
        "<h4>The source prompt's words, over the source</h4>",
        _words_html(inside, "source_words", "source", steps(inside.source_steps, inside.steps)),
        "<h4>Mask</h4>",
        _masks_html(inside),
        "<h4>From the first latents to the edit</h4>",
        _film_html(inside),
        "<h4>Reconstruction</h4>",
        _missing_html(inside, "reconstruction")
        if inside.reconstruction is None
        else reconstruction_html(inside.reconstruction),
    ]
    return framed_html(made, "".join(parts))


def framed_html(made: Made, content: str) -> str:
    """A part of the section, in which CSS knows both pictures."""
    height, width, _ = made.source.shape
    pictures = (
        f"--source:url({thumbnail_address(made.source)});--edit:url({thumbnail_address(picture_of(made))})"
    )
    return f'<div class="inside" style="{pictures};--shape:{width}/{height}">{content}</div>'


def _words_html(inside: Inside, part: Part, over: str, steps: str) -> str:
    words: Sequence[WordMap] = getattr(inside, part)
    if not words:
        return _missing_html(inside, part)
    about = f"Share of attention, mean of heads, layers and {steps}; brightest at the word's own maximum."
    figures = (
        _over(over, heat(word.map), word.word, f"up to {100 * float(word.map.max()):.1f} %") for word in words
    )
    return f"<p>{about}</p>{_shelf(figures)}"


def _masks_html(inside: Inside) -> str:
    if not inside.masks:
        return _missing_html(inside, "masks")
    figures = (_over("edit", veil(mask.mask), f"step {mask.step}") for mask in some_masks(inside.masks))
    return f"<p>Dark where the method leaves the picture to the source.</p>{_shelf(figures)}"


def _film_html(inside: Inside) -> str:
    if not inside.film:
        return _missing_html(inside, "film")
    about = "Latents of the target after so many steps, decoded as they are."
    figures = (
        _figure(
            f'<img src="{thumbnail_address(frame.picture)}" alt="step {frame.step}">', f"step {frame.step}"
        )
        for frame in inside.film
    )
    return f"<p>{about}</p>{_shelf(figures, 'shelf film')}"


def reconstruction_html(found: Reconstruction) -> str:
    """Where the source branch ends, with its PSNR."""
    psnr = "∞" if math.isinf(found.psnr) else f"{found.psnr:.2f}"
    why = (
        "The source branch ends where the picture was encoded to: what differs is the autoencoder's."
        if found.is_picture
        else "Where the source branch ends, decoded."
    )
    figure = _picture(found.picture, f"PSNR to the source {psnr} dB")
    return f"<p>{why}</p>{_shelf([figure])}"


def _over(which: str, overlay: NDArray[Any], caption: str, more: str = "") -> str:
    alt = escape(f"{caption}, over the {which}", quote=True)
    image = f'<div class="over of-{which}"><img src="{png_address(overlay)}" alt="{alt}"></div>'
    return _figure(image, caption, more)


def _shelf(figures: Iterable[str], kind: str = "shelf") -> str:
    return f'<div class="{kind}">{"".join(figures)}</div>'


def _picture(picture: NDArray[Any], caption: str) -> str:
    return _figure(f'<img src="{thumbnail_address(picture)}" alt="{escape(caption)}">', caption)


def _figure(content: str, caption: str, more: str = "") -> str:
    small = f"<br><small>{escape(more)}</small>" if more else ""
    return f"<figure>{content}<figcaption>{escape(caption)}{small}</figcaption></figure>"


def _missing_html(inside: Inside, part: Part) -> str:
    reason = inside.missing.get(part, "nothing was seen")
    return f"<p>{escape(reason[:1].upper() + reason[1:])}.</p>"

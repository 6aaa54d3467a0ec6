"""Painting a mask: where the picture may change, shown in a painter and read from it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from piebench_eval.data.images import image_size, read_image
from piebench_eval.errors import PiebenchError
from piebench_eval.studio.inside import png_address
from piebench_eval.studio.page_html import message_html, share_html
from piebench_eval.studio.sources import Source  # noqa: TC001 (Gradio reads annotations at run time)

if TYPE_CHECKING:
    from piebench_eval.data.masks import BoolMask

SIDE = 640
"""Longer side in pixels of what is painted on: strokes are as fine on a small picture as on a large one."""

_LARGEST = 2_000_000
"""Characters of a painted mask; 640x640 pixels take a hundredth of them."""

_PREFIX = "data:image/png;base64,"

_TEMPLATE = """<div class="painter">
<p>Mark what may change. The scores then say how well the rest is kept, and editors that work with masks edit
there alone.</p>
<div class="layers"><img alt="the source"><canvas role="img" aria-label="the mask"></canvas></div>
<div class="tools"><button type="button" data-tool="paint" aria-pressed="true">Paint</button>
<button type="button" data-tool="erase" aria-pressed="false">Erase</button>
<label>Size <input type="range" min="1" max="30" value="8"></label>
<button type="button" data-tool="all">Mark all</button>
<button type="button" data-tool="clear">Clear</button></div></div>"""


class MaskPanel:
    """The section with the painter, which follows the picture that is edited.

    Args:
        source: a ``gr.State`` with the ``Source``; a painted mask becomes part of it.
        picture: shows the source; the painter is filled anew when it changes.
        restored: changes when a dropped edit brings its mask, with the same picture or another.
    """

    def __init__(self, source: gr.State, picture: gr.Image, restored: gr.State):
        with gr.Accordion("Mask", open=False):
            painter = gr.HTML(
                None,
                html_template=_TEMPLATE,
                js_on_load=Path(__file__).with_name("painter.js").read_text(),
                elem_id="mask",
            )
            share = gr.HTML(share_html(None), elem_id="mask-share")
        gr.on(
            [picture.change, restored.change], painter_value, source, [painter, share], show_progress="hidden"
        )
        painter.painted(_on_painted, source, [source, share], show_progress="hidden")


def painter_value(source: Source | None) -> tuple[dict[str, Any] | None, str]:
    """What the painter shows of a source: the picture, and its mask as strokes; and how large that is."""
    if source is None:
        return None, share_html(None)
    picture = Image.fromarray(read_image(source.file))
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    shown = {"picture": png_address(np.asarray(picture.resize(size, Image.Resampling.LANCZOS))), "size": size}
    mask = source.mask()
    if mask is not None:
        strokes = np.zeros((size[1], size[0], 4), np.uint8)
        strokes[_resized(mask, size)] = (220, 38, 38, 255)
        shown["mask"] = png_address(strokes)
    return shown, share_html(mask)


def painted(strokes: str, source: Source) -> Source:
    """The source with a painted mask; without a stroke, the benchmark's own mask stays.

    Args:
        strokes: the painter's canvas as the URL of a PNG with its pixels, opaque where it is marked.
        source: what is painted on.

    Raises:
        PiebenchError: it is no such URL.
    """
    try:
        if not strokes.startswith(_PREFIX) or len(strokes) > _LARGEST:
            raise ValueError("no canvas")
        content = io.BytesIO(base64.b64decode(strokes.removeprefix(_PREFIX), validate=True))
        with Image.open(content, formats=("PNG",)) as image:
            if max(image.size) > SIDE:
                raise ValueError("no canvas")
            marks = np.array(image.convert("RGBA"))[:, :, 3] > 127
    except Exception:  # a damaged one makes Pillow raise almost anything
        raise PiebenchError("The painted mask cannot be read; paint it again") from None
    return source.with_mask(_resized(marks, image_size(source.file)))


def _on_painted(source: Source | None, event: gr.EventData) -> list[Any]:
    if source is None:
        return [None, share_html(None)]
    try:
        now = painted(str(event.mask), source)
    except PiebenchError as error:
        return [gr.skip(), message_html(str(error), is_problem=True)]
    return [now, share_html(now.mask())]


def _resized(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask at another width and height."""
    return np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))

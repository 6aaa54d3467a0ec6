"""A Python function as an editor: ``edit(image, sample) -> image``, picture by picture."""

from __future__ import annotations

import hashlib
import inspect
import re
from functools import partial, wraps
from types import CodeType
from typing import TYPE_CHECKING, Any

from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from piebench_eval.data.sample import Sample

    EditFunction = Callable[[Image.Image, Sample], Image.Image]

_FUNCTIONS: dict[str, str] = {}
"""SHA-256 of the source of each function that is registered as an editor, by its name."""


def register_function(function: EditFunction) -> str:
    """Register a function as an editor under its own name, in this process alone.

    Args:
        function: ``(image, sample)`` -> the edit, a PIL image of the same size; called once per sample.

    Returns:
        The name.

    Raises:
        PiebenchError: it has no name of its own, or that of an editor of the package.
    """
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise PiebenchError(
            f"editor={function!r}: has no name, which becomes the row's; define it with def, or set its "
            "__name__"
        )
    title = (inspect.getdoc(function) or name).strip().splitlines()[0].rstrip(".")

    @wraps(function)
    def edit(
        _: Any, pictures: Sequence[NDArray[np.uint8]], samples: Sequence[Sample], settings: Any, common: Any
    ) -> EditedPictures:
        from PIL import Image

        images = [Image.fromarray(picture) for picture in pictures]
        edited = [function(image, sample) for image, sample in zip(images, samples, strict=True)]
        return EditedPictures([_pixels(image, name) for image in edited])

    editor = Editor(
        title=title,
        paper=f"function {name}",
        prompted_by="not declared",
        masks="not declared",
        edit=edit,
        needs_model=False,
    )
    EDITORS.add(name, editor, f"function {name}")
    _FUNCTIONS[name] = _source_hash(function)
    return name


def functions_of(editors: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the source of those editors that are functions, by ``function NAME``."""
    return {f"function {name}": _FUNCTIONS[name] for name in editors if name in _FUNCTIONS}


def is_function(editor: str) -> bool:
    """Whether an editor is a function of this process, which no other process knows."""
    return editor in _FUNCTIONS


def _source_hash(function: Any) -> str:
    """SHA-256 of what a function is: its source, or its compiled code where there is no source.

    Of an object that can be called it is that of its class; of ``functools.partial``, also what it binds.
    """
    bound = ""
    while isinstance(function, partial):
        bound += _text((*function.args, *sorted(function.keywords.items())))
        function = function.func
    written = function if inspect.isroutine(function) else type(function)
    try:
        text = inspect.getsource(written)
    except (OSError, TypeError):
        code = getattr(written, "__code__", None)
        text = repr(type(function)) if code is None else _code_text(code)
    return hashlib.sha256((text + bound).encode()).hexdigest()


def _code_text(code: CodeType) -> str:
    """What compiled code does, with its constants and the names that it uses."""
    return _text((code.co_code, code.co_consts, code.co_names))


def _text(value: Any) -> str:
    """A value as the same text in every process: sets in order, and nothing by its place in memory."""
    if isinstance(value, CodeType):  # of a function within another
        return _code_text(value)
    if isinstance(value, frozenset | set):
        return f"{{{sorted(map(_text, value))}}}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_text, value))})"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value), flags=re.IGNORECASE)


def _pixels(image: Any, name: str) -> Any:
    """The pixels of what a function returned: a PIL image as RGB, or an array as it is.

    Raises:
        PiebenchError: it is neither.
    """
    import numpy as np
    from PIL import Image

    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        return image
    raise PiebenchError(f"{name}: returned {type(image).__name__}; return a PIL image, or an array")

"""A Python function as an editor: ``edit(image, sample) -> image``, picture by picture."""

from __future__ import annotations

import hashlib
import inspect
from functools import wraps
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
    """SHA-256 of a function's source; of its compiled code where there is no source."""
    try:
        text = inspect.getsource(function).encode()
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = code.co_code if code is not None else repr(type(function)).encode()
    return hashlib.sha256(text).hexdigest()


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

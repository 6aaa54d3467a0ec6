"""Data inside a script: whatever a prompt says, it stays text."""

from __future__ import annotations

import json
from typing import Any

_ESCAPED = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}


def to_script(name: str, data: Any) -> str:
    r"""Write data as a JavaScript constant, in ASCII, that no HTML parser takes for markup.

    >>> to_script("DATA", ["</script>"])
    'const DATA = ["\\u003c/script\\u003e"];\n'
    """
    # ASCII alone: neither U+2028 nor half a surrogate pair reaches the file.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return f"const {name} = {text.translate(_ESCAPED)};\n"

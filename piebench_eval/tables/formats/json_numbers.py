"""Numbers as JSON for programs has them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd


def json_number(value: Any) -> Any:
    """A cell for JSON, which has no infinity and no nan.

    Infinity, as the PSNR of pictures that nothing was changed in, is the text ``inf`` or ``-inf``, which
    ``float`` reads in most languages. What is missing or undefined is None.

    >>> json_number(float("inf")), json_number(float("nan")), json_number(2.5), json_number("p2p")
    ('inf', None, 2.5, 'p2p')
    """
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value

"""Pairs of inversion and method to test, and which of them only repeat the others."""

import pytest

from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS


def marked(inversion, method, *arguments):
    """Test arguments of a pair: slow unless the pair has Direct Inversion or Prompt-to-Prompt.

    Those are every inversion and every method once; the other pairs repeat them.
    """
    repeats = inversion != "direct" and method != "p2p"
    return pytest.param(inversion, method, *arguments, marks=pytest.mark.slow if repeats else [])


CONTROLLING = [name for name in METHODS.names() if METHODS.get(name).attention]
"""Methods that read the source branch."""

OF_NOISE = [name for name in INVERSIONS.names() if "epsilon" in INVERSIONS.get(name).predicts]
"""Inversions of models that predict noise, as the small Stable Diffusion does."""

EVERY_PAIR = [marked(inversion, method) for inversion in OF_NOISE for method in METHODS.names()]

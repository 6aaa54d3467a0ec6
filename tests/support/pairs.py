"""Pairs of inversion and method to test, and which of them only repeat the others."""

import pytest

from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.families import FAMILIES
from piebench_eval.recipes.compatibility import inversion_misfit, method_misfit, pair_misfit


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

METHODS_OF_NOISE = [name for name in METHODS.names() if "epsilon" in METHODS.get(name).predicts]
"""Methods of such models."""

EVERY_PAIR = [marked(inversion, method) for inversion in INVERSIONS.names() for method in METHODS.names()]


def goes_with(family, inversion=None, method=None):
    """Whether an inversion or a method goes with a family, as its models take guidance."""
    of_family = FAMILIES[family], FAMILIES[family].guidance
    if inversion and method and pair_misfit(inversion, method, *of_family) is not None:
        return False
    return (inversion is None or inversion_misfit(inversion, *of_family) is None) and (
        method is None or method_misfit(method, *of_family) is None
    )


def _is_fast_of_family(family, inversion, method):
    """Whether a pair shows what a family does in its own way; the others repeat Stable Diffusion 1.x's.

    Stable Diffusion XL's inversions with Prompt-to-Prompt are in tests/inversions/test_sdxl.py.
    """
    if family == "flux":
        return inversion in ("direct", "euler") and method == "plain"
    if family == "sd3":
        return method == "plain" and inversion in ("direct", "edit_friendly", "euler")
    if family == "sdxl":
        others = inversion in ("null_text", "edit_friendly") and method == "plain"
        return others if inversion != "direct" else method in ("p2p", "masactrl", "pnp", "plain")
    if inversion == "direct":
        return method in ("p2p", "masactrl", "plain")
    return inversion in ("edit_friendly", "euler", "ddim") and method == "plain"


def _of_family(family, pair):
    is_fast = not pair.marks if family == "sd1" else _is_fast_of_family(family, *pair.values)
    return pytest.param(family, *pair.values, marks=[] if is_fast else pytest.mark.slow)


PAIRS_OF_FAMILIES = [
    _of_family(family, pair) for family in FAMILIES for pair in EVERY_PAIR if goes_with(family, *pair.values)
]


def methods_of_families(inversion):
    """Every method of every family under an inversion; Stable Diffusion 1.x has all of them always."""
    return [
        pytest.param(family, method, marks=[] if is_fast else pytest.mark.slow)
        for family in FAMILIES
        for method in METHODS.names()
        if goes_with(family, inversion, method)
        for is_fast in [family == "sd1" or _is_fast_of_family(family, inversion, method)]
    ]

import pytest

from piebench_eval.runs.recipe import build_recipe


@pytest.fixture(scope="session")
def fake_recipe(tiny_model):
    """Two combinations; a fake editor never opens the model."""
    fields = {"model": str(tiny_model), "inversions": ["ddim", "direct"], "methods": ["p2p"], "steps": 4}
    return build_recipe(fields, {}, "test")

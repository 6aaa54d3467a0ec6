import pytest

from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from tests.golden.recordings import STEPS
from tests.support.recipes import shipped


@pytest.fixture(scope="session")
def reference(golden):
    """The small model that the reference implementation was recorded with; it remembers shared work."""
    model = load_model(str(golden / "tiny-sd"))
    model.cache = Cache({})
    return model


@pytest.fixture(scope="session")
def paper(golden):
    """configs/paper.yaml with the recordings' model and step count."""
    return shipped("paper", {"model": str(golden / "tiny-sd"), "steps": STEPS})

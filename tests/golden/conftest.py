import pytest

from piebench_eval.models.cache import Memory
from piebench_eval.models.loading import load_backbone
from tests.golden.recordings import STEPS
from tests.support.recipes import shipped


@pytest.fixture(scope="session")
def reference(golden):
    """The small model that the reference implementation was recorded with; it remembers shared work."""
    backbone = load_backbone(str(golden / "tiny-sd"))
    backbone.memory = Memory({})
    return backbone


@pytest.fixture(scope="session")
def paper(golden):
    """configs/paper.yaml with the recordings' model and step count."""
    return shipped("paper", {"model": str(golden / "tiny-sd"), "steps": STEPS})

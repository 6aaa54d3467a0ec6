import pytest

from piebench_eval.backbone.loading import load_backbone


@pytest.fixture(scope="session")
def reference(golden):
    """The small model that the reference implementation was recorded with."""
    return load_backbone(str(golden / "tiny-sd"))

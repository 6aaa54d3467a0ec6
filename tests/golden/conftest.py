import pytest

from piebench_eval.backbone.loading import load_backbone
from piebench_eval.backbone.memory import Memory
from piebench_eval.recipes import recipe_file
from piebench_eval.runs.recipe import build_recipe, read_recipe_fields
from tests.golden.recordings import STEPS


@pytest.fixture(scope="session")
def reference(golden):
    """The small model that the reference implementation was recorded with; it remembers shared work."""
    backbone = load_backbone(str(golden / "tiny-sd"))
    backbone.memory = Memory({})
    return backbone


@pytest.fixture(scope="session")
def paper(golden):
    """configs/paper.yaml with the recordings' model and step count."""
    file = recipe_file("paper")
    overrides = {"model": str(golden / "tiny-sd"), "steps": STEPS}
    return build_recipe(read_recipe_fields(file), overrides, str(file))

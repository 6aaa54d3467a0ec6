"""The recipes that come with the package: in ``configs/``, beside it in a clone, inside it when installed."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def recipe_file(name: str) -> Path:
    """The file of one of the package's recipes, such as ``table1``."""
    return _folder() / f"{name}.yaml"


def recipe_names() -> list[str]:
    """Names of the package's recipes."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def _folder() -> Path:
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


DEMO_RECIPE = recipe_file("demo")
"""The default recipe of the embedded benchmark."""


def recipe_of_embedded(model: str) -> Path:
    """The recipe by which an embedded model edits, which has its name."""
    return recipe_file(model)

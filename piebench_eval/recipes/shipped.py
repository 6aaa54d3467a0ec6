"""Where the recipes in ``configs/`` are: beside the package in a clone, inside it when installed."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def recipe_file(name: str) -> Path:
    """The file of a recipe that comes with the package: ``table1``, ``paper`` or ``demo``."""
    return _folder() / f"{name}.yaml"


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def _folder() -> Path:
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


DEMO_RECIPE = recipe_file("demo")
"""How the embedded world is edited unless something else is asked for."""

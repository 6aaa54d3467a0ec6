"""Missing requirements of the check, found before importing anything that would fail."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def requirements() -> dict[str, str]:
    """The package's own requirements and pytest: the least version of each, by name."""
    wanted = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    parts = [re.fullmatch(r"([\w.-]+)>=([\d.]+)", one) for one in [*wanted, "pytest>=8"]]
    return {part[1]: part[2] for part in parts if part}


def look_for(wanted: dict[str, str]) -> tuple[list[str], list[str]]:
    """Requirements that are missing, and those that are older than asked for, each as a line."""
    missing, older = [], []
    for name, least in wanted.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            missing.append(f"{name}>={least}")
            continue
        if _numbers(found) < _numbers(least):
            older.append(f"{name} {found}, older than {least}")
    return missing, older


def _numbers(text: str) -> tuple[int, ...]:
    """``2.11.0+cu130`` as (2, 11, 0)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()

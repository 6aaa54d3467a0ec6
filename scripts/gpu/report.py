"""The report of a check: Markdown and JSON, rewritten after every section."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from piebench_eval.files import write_whole
from scripts.gpu.section import WRONG, Result


@dataclass
class Report:
    """What is known of a check.

    Attributes:
        device: as it was asked for.
        about: when, how, and what is older than asked for.
        results: a result per section, in order; those that are to come say so.
    """

    device: str
    about: dict[str, Any]
    results: list[Result] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing has gone wrong."""
        return not any(result.status in WRONG for result in self.results)

    @property
    def verdict(self) -> str:
        """The result in a line: nothing that was not looked at passes for good in silence."""
        by_status: dict[str, list[str]] = {}
        for result in self.results:
            by_status.setdefault(result.status, []).append(result.section.name)
        return "; ".join(f"{status}: {', '.join(names)}" for status, names in by_status.items())

    def write(self, folder: Path) -> None:
        """Write ``gpu-check.md`` and ``gpu-check.json`` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "gpu-check.md", self.markdown().encode())
        write_whole(folder / "gpu-check.json", json.dumps(self.data(), indent=1).encode() + b"\n")

    def data(self) -> dict[str, Any]:
        """Everything, for JSON."""
        sections = [
            {
                "name": result.section.name,
                "title": result.section.title,
                "status": result.status,
                "reason": result.reason,
                "seconds": round(result.seconds, 1),
                "limit": round(result.limit, 1),
                "data": result.told.data,
                "output": result.tail,
            }
            for result in self.results
        ]
        return {
            "device": self.device,
            **self.about,
            "good": self.is_good,
            "verdict": self.verdict,
            "sections": sections,
        }

    def markdown(self) -> str:
        """Everything, for people."""
        rows = [
            [one.section.name, one.section.title, one.status, f"{one.seconds:.0f}", one.reason]
            for one in self.results
        ]
        parts = [f"# Check of {self.device}", f"{self.verdict}."]
        parts += [f"- {key}: {_line(value)}" for key, value in self.about.items()]
        parts.append(table(["section", "looks at", "result", "seconds", ""], rows))
        for result in self.results:
            found = [result.told.markdown] if result.told.markdown else []
            if result.tail:
                found.append(f"The end of what it printed:\n\n```\n{result.tail}\n```")
            if found:
                parts += [f"## {result.section.name}: {result.status}", *found]
        return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, without any library: a check must be able to say that one is missing."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines
    )


def _line(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)

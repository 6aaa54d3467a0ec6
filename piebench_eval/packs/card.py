"""The card of a pack: Markdown, with front matter as dataset repositories of the Hugging Face Hub have it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from piebench_eval.api.tabulating import make_view
from piebench_eval.packs.layout import SUFFIX
from piebench_eval.packs.levels import ABOUT_LEVELS, Level
from piebench_eval.tables.formats.text import to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from piebench_eval.tables.score_table import ScoreTable


def card_text(about: Mapping[str, Any], score_table: ScoreTable) -> str:
    """Write the card.

    Args:
        about: content of the pack's ``pack.json``.
        score_table: the scores.
    """
    name, benchmark, missing = about["name"], about["benchmark"], sum(map(len, about["missing"].values()))
    view = make_view(score_table, score_table.metrics(every=False), exact=False)
    table = to_text(view.table, "markdown", [f"- {remark}" for remark in view.remarks], view.marks)
    pictures = "with the pictures" if about["pictures"] else "without the pictures, with their checksums"
    levels = "\n".join(f"{level + 1}. **{level.title}**: {ABOUT_LEVELS[level]}." for level in Level)
    return f"""---
pretty_name: {json.dumps(name)}
task_categories:
- image-to-image
tags:
- image-editing
- pie-bench
- piebench-eval
viewer: false
---

# {name}

A run of [piebench-eval](https://pypi.org/project/piebench-eval) {about["piebench_eval"]}, {pictures}.

- model: `{about["model"]}`
- edits: {about["edits"]}{f", and {missing} that are missing" if missing else ""}
- benchmark: {benchmark["samples"]} of {benchmark["images"]} samples; SHA-256 `{benchmark["fingerprint"]}`
- recipe: `recipe.yaml`; SHA-256 `{about["recipe_hash"]}`

{table}
## How to verify it

```bash
piebench verify {name}{SUFFIX} --data BENCHMARK_FOLDER
```

It prints which of four levels the pack reaches:

{levels}
"""

"""Scored runs that no model made, of any size, as a report takes them."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from piebench_eval.data.sample import TYPE_NAMES, Sample
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.report.content import ReportCombination, ReportContent
from piebench_eval.tables.score_table import ScoreTable

PAIRS = [
    (inversion, method)
    for method in ("p2p", "masactrl", "pnp")
    for inversion in ("ddim", "null_text", "edit_friendly", "direct")
]
HOSTILE = "a [</script><script>fail()</script>] \"x\" 'y' & <img src=x onerror=fail()> \u2028 [cat]"


def sample(number: int, folder: Path, prompt: str | None = None, side: int = 16) -> Sample:
    """A sample whose mask is the picture's upper half; its type goes round the ten."""
    type_id = str(number % len(TYPE_NAMES))
    path = f"{type_id}_{TYPE_NAMES[type_id].replace(' ', '_')}_80/2_natural/{number:012d}.png"
    prompt = (
        prompt or f"a photograph of the [animal number {number}] that stands on a meadow under the clouds"
    )
    return Sample(
        id=f"{number:012d}",
        image_path=path,
        file=folder / "benchmark" / "annotation_images" / path,
        marked_source_prompt=prompt,
        marked_target_prompt=prompt.replace("animal", "statue"),
        instruction="Turn the animal into a statue that looks at the sea",
        type_id=type_id,
        blended_word="",
        mask_rle=(0, side * side // 2),
    )


def score_rows(samples, pairs, seed=0) -> pd.DataFrame:
    """Numbers of the size that scores have."""
    generator = np.random.default_rng(seed)
    scales = (0.03, 24.0, 0.1, 0.006, 0.8, 25.0, 25.0, 22.0)
    frames = []
    for inversion, method in pairs:
        frame = pd.DataFrame(
            {
                column: scale * generator.uniform(0.5, 1.5, len(samples))
                for column, scale in zip(COLUMNS, scales, strict=True)
            }
        )
        frame.insert(0, "id", [each.id for each in samples])
        frame.insert(1, "inversion", inversion)
        frame.insert(2, "method", method)
        frame.insert(3, "type", [each.type_id for each in samples])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def scored_run(folder: Path, samples, pairs=PAIRS, rows=None, about=None) -> ReportContent:
    """A run of these samples, as if it had been scored."""
    score_table = ScoreTable(score_rows(samples, pairs) if rows is None else rows, about or {}, PAPER.average)
    names = {pair: "+".join(filter(None, pair)) for pair in pairs}
    return ReportContent(
        folder=folder,
        score_table=score_table,
        samples=list(samples),
        combinations=[
            ReportCombination(names[row["inversion"], row["method"]], row["method"], row["inversion"])
            for row in score_table.means.to_dict(orient="records")
        ],
        pictures={
            (name, each.id): folder / "images" / name / each.image_path
            for name in names.values()
            for each in samples
        },
        unscored=0,
    )


def draw_pictures(run: ReportContent, side: int = 16) -> None:
    """One picture of noise in the place of every source and edit."""
    files = [*(each.file for each in run.samples), *run.pictures.values()]
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    first = files[0]
    first.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(first)
    for file in files[1:]:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, file)


def whole_benchmark(folder: Path) -> ReportContent:
    """As many samples and combinations as Table 1 has; it takes seconds, for its intervals."""
    return scored_run(folder, [sample(number, folder) for number in range(700)])

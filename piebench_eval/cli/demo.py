"""``piebench demo``: edit, score and tabulate the embedded benchmark with the embedded models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.cli.console import kept_on_interrupt, next_command, out
from piebench_eval.demo.embedded import DEMO, DEMO_FLOW
from piebench_eval.recipes.builtin import recipe_of_embedded

if TYPE_CHECKING:
    from piebench_eval.runs.plan import RunPlan

DEMO_SAMPLES = 10
"""Samples of the demo: one of each editing type."""

_BATCH = 10
"""Samples per batch: with a small model, the overhead of each call matters even on a CPU."""

_PRESERVATION = ("structure_distance", "psnr", "lpips", "mse", "ssim")
_SHEET_FILE = "contact_sheet.png"


class DemoFamily(StrEnum):
    """The families of models that there is a demo of."""

    diffusion = "diffusion"
    flow = "flow"


@dataclass(frozen=True)
class _Demo:
    """The demo of a family of models.

    Attributes:
        model: the embedded model.
        out: its run folder by default.
        quick_inversions: inversions of ``--quick``; its combinations are those that are compared.
        quick_methods: likewise.
        comparisons: rows of the table whose paired difference is printed, and in which metrics.
        other: what ``piebench demo`` says of it under the demo of the other family.
    """

    model: str
    out: Path
    quick_inversions: list[str]
    quick_methods: list[str]
    comparisons: tuple[tuple[str, str, tuple[str, ...]], ...]
    other: str


_DEMOS = {
    DemoFamily.diffusion: _Demo(
        DEMO,
        Path("piebench-demo"),
        ["ddim", "direct"],
        ["p2p"],
        (
            ("direct+p2p", "ddim+p2p", _PRESERVATION),
            ("direct+p2p", "source-copy", ("clip_whole",)),
        ),
        "the twelve combinations of Table 1, by a diffusion model",
    ),
    DemoFamily.flow: _Demo(
        DEMO_FLOW,
        Path("piebench-demo-flow"),
        ["flowedit", "euler"],
        ["plain"],
        (
            ("flowedit+plain", "euler+plain", _PRESERVATION),
            ("flowedit+plain", "source-copy", ("clip_whole",)),
        ),
        "FlowEdit, RF-Solver, FireFlow, UniEdit-Flow and others, by a flow model",
    ),
}


def demo(
    family: Annotated[
        DemoFamily,
        typer.Option(
            help="diffusion: the twelve combinations of Table 1, by a small model of Stable Diffusion 1's "
            "kind. flow: FlowEdit, RF-Solver, FireFlow, UniEdit-Flow and others, by one of Stable Diffusion "
            "3's kind."
        ),
    ] = DemoFamily.diffusion,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Only Prompt-to-Prompt, after DDIM and Direct Inversion; of flow, only FlowEdit and Euler "
            "inversion.",
        ),
    ] = False,
    samples: Annotated[
        int, typer.Option(min=1, help="Number of samples, spread over the editing types; at most 40.")
    ] = DEMO_SAMPLES,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder.", show_default="piebench-demo, or piebench-demo-flow"),
    ] = None,
) -> None:
    """Try the harness: draw a benchmark, edit it in many ways, score and tabulate.

    Needs no data, no download and no GPU: the pictures are drawn, and the models that edit and score them
    are small ones that come with the package. Two rows need no model: oracle scores the ideal edits,
    source-copy the unedited sources. The table says nothing about Stable Diffusion.

    Examples:

      piebench demo

      piebench demo --family flow

      piebench demo --quick --samples 40 --out /tmp/demo
    """
    from piebench_eval.api.progress import shown_progress
    from piebench_eval.cli.execution import execute_with_progress
    from piebench_eval.cli.table import print_table
    from piebench_eval.metrics.networks.metric_models import networks_for
    from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
    from piebench_eval.recipes.subset import select_combinations
    from piebench_eval.runs.machine import MachineOptions
    from piebench_eval.runs.plan import Selection, plan_run
    from piebench_eval.scoring.evaluation_set import evaluation_set_of_run
    from piebench_eval.scoring.score import Scoring
    from piebench_eval.scoring.scores_file import score_images

    shown = _DEMOS[family]
    run_folder, file = out_folder or shown.out, recipe_of_embedded(shown.model)
    fields = read_recipe_fields(file)
    if quick:
        fields = select_combinations(fields, shown.quick_inversions, shown.quick_methods, str(file))
    recipe = build_recipe(fields, {}, str(file))
    plan = plan_run(recipe, None, run_folder, Selection(limit=samples), MachineOptions(batch_size=_BATCH))
    execute_with_progress(plan)
    evaluation_set = evaluation_set_of_run(run_folder)
    # A larger demo may have been stopped in this folder.
    ids = {sample.id for sample in plan.samples}
    wanted = [edited_image for edited_image in evaluation_set.edited_images if edited_image.sample.id in ids]
    with kept_on_interrupt(), shown_progress() as report:
        scoring = Scoring(networks_for(shown.model), columns=evaluation_set.columns)
        score_images(replace(evaluation_set, edited_images=wanted, missing=[]), scoring, report)
    print_table(run_folder)
    _print_comparisons(evaluation_set.scores_file, shown)
    sheet = _write_sheet(plan)
    out.print(f"Look: {sheet}", markup=False)
    out.print(f"All pictures: {run_folder / 'images'}; the drawn benchmark: {plan.data}", markup=False)
    out.print(f"Next: {next_command('report', run_folder)}", markup=False)
    for name, other in _DEMOS.items():
        if name is not family:
            out.print(f"Also: {next_command('demo', '--family', name)}  ({other.other})", markup=False)


def _print_comparisons(scores_file: Path, shown: _Demo) -> None:
    """Print the paired differences between the rows worth comparing, with confidence intervals."""
    from piebench_eval.tables.scores import read_scores
    from piebench_eval.tables.statistics.paired_comparison import compare_pair

    scores = read_scores(scores_file)
    out.print("Mean difference on the same pictures, and its 95% interval:")
    for one, other, metrics in shown.comparisons:
        found = compare_pair(scores, one, other).set_index("metric").loc[list(metrics)]
        parts = [f"{metric} {_difference_text(row)}" for metric, row in found.iterrows()]
        out.print(f"- {one} minus {other}: {', '.join(parts)}", markup=False)


def _difference_text(row: Any) -> str:
    """Format a row of ``compare_pair``: a single pair has no interval."""
    if not row.pairs:
        return "no pair to compare"
    if row.pairs == 1:
        return f"{row.difference:+.2f} (one pair, no interval)"
    return f"{row.difference:+.2f} ({row.low:+.2f} to {row.high:+.2f})"


def _write_sheet(plan: RunPlan) -> Path:
    """Write a sheet of the first sample of each editing type: source, edit of each combination, ideal."""
    from piebench_eval.data.sample import TYPE_NAMES
    from piebench_eval.data.selection import select_samples
    from piebench_eval.demo.benchmark import IDEAL_FOLDER
    from piebench_eval.report.contact_sheet import run_sheet
    from piebench_eval.runs.store.folder import RunStore

    file = plan.out / _SHEET_FILE
    samples = select_samples(plan.samples, limit=len(TYPE_NAMES))
    run_sheet(RunStore.read(plan.out), samples, plan.data / IDEAL_FOLDER).save(file)
    return file

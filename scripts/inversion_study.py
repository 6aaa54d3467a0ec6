"""Measure how well the inversions of a flow lead back to a picture, and what they cost.

python scripts/inversion_study.py --model tiny-2rf --family instaflow --data benchmark --steps 1,2,4
python scripts/inversion_study.py --model XCLiu/2_rectified_flow_from_sd_1_5 --data PIE-Bench_v1 --device cuda
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from piebench_eval.api.arguments import names
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "same point": ("euler", {}),
    "own point": ("euler", {"evaluate_at": "own"}),
    "fixed point, 1 refinement": ("euler", {"refinements": 1}),
    "fixed point, 3 refinements": ("euler", {"refinements": 3}),
    "fixed point, 7 refinements": ("euler", {"refinements": 7}),
    "midpoint": ("euler", {"solver": "midpoint", "evaluate_at": "own"}),
    "midpoint, 3 refinements": ("euler", {"solver": "midpoint", "evaluate_at": "own", "refinements": 3}),
    "direct": ("direct", {}),
    "edit_friendly": ("edit_friendly", {"skip": 0}),
}
"""Inversions with their settings, by the names of docs/inversion-study.md."""


@dataclass(frozen=True)
class Measured:
    """One inversion of one picture; everything without guidance.

    Attributes:
        inversion: its name in ``KINDS``.
        steps: sampling steps.
        sample: id of the picture's sample.
        evaluations: of the model, for the inversion alone.
        source: where the source branch ends: distance from the picture's latents, root mean square.
        target: likewise of the target branch, if its prompt is the source's.
        psnr: between that and the picture's own latents, both decoded, in dB.
        moved: how far the edit with the target prompt lies from the picture's latents.
    """

    inversion: str
    steps: int
    sample: str
    evaluations: int
    source: float
    target: float
    psnr: float
    moved: float


def measure(model: DiffusionModel, sample: Sample, steps: int, resolution: int) -> list[Measured]:
    """Invert one picture in every way.

    Args:
        model: a flow model.
        sample: the picture and its prompts.
        steps: sampling steps.
        resolution: side in pixels.
    """
    from dataclasses import replace

    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.inversions import INVERSIONS
    from piebench_eval.models.nfe import EvaluationCounter
    from piebench_eval.recipes.combination import CommonSettings
    from piebench_eval.runs.batch_editing import encode_inputs
    from piebench_eval.runs.edit_inputs import plan_schedule

    schedule = plan_schedule(model, CommonSettings(model="", steps=steps))
    inputs = encode_inputs(model, [sample], resolution, guidance=Guidance(1))
    unchanged = replace(inputs, target_embeds=inputs.source_embeds)
    picture = model.decode_latents(inputs.latents)
    found = []
    for kind, (name, settings) in KINDS.items():
        model.evaluations = EvaluationCounter()
        entry = INVERSIONS.get(name)
        inverted = entry.invert(model, inputs, schedule, entry.settings(**settings))
        _ = inverted.offsets  # which may be evaluated when they are read
        evaluations = model.evaluations.forward[0]
        target = edited(model, sample, unchanged, inverted, schedule)
        source = source_end(model, inputs, inverted, schedule)
        moved = edited(model, sample, inputs, inverted, schedule)
        distances = [rms(latents - inputs.latents) for latents in (source, target, moved)]
        psnr = decibels(model.decode_latents(target), picture)
        found.append(Measured(kind, steps, sample.id, evaluations, *distances[:2], psnr, distances[2]))
    return found


def edited(
    model: DiffusionModel, sample: Sample, inputs: EditInputs, inverted: InversionResult, schedule: Schedule
) -> torch.Tensor:
    """The target branch's latents ``[1, channels, h, w]``; it takes nothing from the source."""
    from piebench_eval.diffusion.loop import edit
    from piebench_eval.methods import METHODS

    plain = METHODS.get("plain")
    prepared = plain.prepare([sample], model, schedule.steps, plain.settings())
    return edit(model, inputs, inverted, prepared.controller, schedule)


def source_end(
    model: DiffusionModel, inputs: EditInputs, inverted: InversionResult, schedule: Schedule
) -> torch.Tensor:
    """Where the source branch ends ``[1, channels, h, w]``."""
    from piebench_eval.diffusion.ode import UNGUIDED, sample_ode

    if inverted.source_mode == "fixed":
        return inverted.trajectory[0]
    texts = inputs.inversion_embeds, inputs.uncond_embeds
    start, solver = inverted.trajectory[-1], inverted.solver
    return sample_ode(model, start, *texts, schedule, UNGUIDED, solver)[0]


def rms(values: torch.Tensor) -> float:
    """Root mean square."""
    return float(values.square().mean().sqrt())


def decibels(image: Any, other: Any) -> float:
    """PSNR of two pictures ``[1, height, width, 3]`` of 256 grey levels."""
    import torch

    from piebench_eval.metrics.background import psnr_of

    difference = torch.from_numpy((image.astype("float64") - other) / 255)
    return float(psnr_of(difference.square().mean()))


def table(measured: Sequence[Measured]) -> str:
    """Means over the pictures, as Markdown."""
    import pandas as pd
    from tabulate import tabulate

    frame = pd.DataFrame([asdict(one) for one in measured]).drop(columns="sample")
    means = frame.groupby(["steps", "inversion"], sort=False).mean().reset_index()
    rows = [
        [row.steps, row.inversion, f"{row.evaluations:g}"]
        + [f"{value:.2g}" for value in (row.source, row.target)]
        + [f"{row.psnr:.1f}", f"{row.moved:.2g}"]
        for row in means.itertuples()
    ]
    header = ["steps", "inversion", "evaluations", "source", "target", "PSNR", "edit"]
    align = ["right", "left", *["right"] * 5]
    return tabulate(rows, header, tablefmt="github", disable_numparse=True, colalign=align)


def main(
    model: Annotated[str, typer.Option(help="A flow model: diffusers directory or hub id.")],
    data: Annotated[Path, typer.Option(help="A benchmark in PIE-Bench's layout: pictures and prompts.")],
    family: Annotated[str, typer.Option(help="instaflow, if its model_index.json does not say so.")] = "auto",
    steps: Annotated[str, typer.Option(help="Numbers of steps, with commas between them.")] = "1,2,4,8",
    limit: Annotated[int, typer.Option(min=1, help="How many pictures, from the first.")] = 20,
    resolution: Annotated[
        int | None, typer.Option(min=8, help="Side of the pictures in pixels; the model's own by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Every picture's numbers, for programs.")] = False,
) -> None:
    """Measure how well the inversions of a flow lead back to a picture, and what they cost.

    A row of the table is a mean over the pictures. source and target: distances of both branches' ends from
    the picture's latents (root mean square), the target's with the source's prompt; PSNR: of that target,
    decoded, in dB; edit: how far the edit with the target prompt moves the latents. All without guidance.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    try:
        from piebench_eval.data.pie_bench import load_pie_bench
        from piebench_eval.models.device import resolve_device
        from piebench_eval.models.loading import load_model
        from piebench_eval.runs.batch_editing import working_resolution
        from piebench_eval.tables.formats.cells import json_number

        numbers = names(steps) or []
        counts = [int(number) for number in numbers if number.isdigit() and int(number) > 0]
        if not counts or len(counts) < len(numbers):
            raise PiebenchError(f"--steps {steps!r}: write numbers from 1 up with commas between them")
        samples = load_pie_bench(data)[:limit]
        flow = load_model(model, device=resolve_device(device), family=family)
        if flow.family.predicts != "velocity":
            raise PiebenchError(
                f"--model {model}: {flow.family.title} predicts noise, not a velocity; give a flow model, or "
                "--family instaflow if it is one"
            )
        side = working_resolution(flow, resolution)
        measured = []
        for count in counts:
            for sample in samples:
                console.print(f"{count} steps, {sample.id}")
                measured += measure(flow, sample, count, side)
    except PiebenchError as error:
        console.print(f"error: {error}", style="red")
        raise typer.Exit(error.exit_code) from None
    if as_json:
        rows = [{key: json_number(value) for key, value in asdict(one).items()} for one in measured]
        typer.echo(json.dumps(rows, indent=1))
    else:
        typer.echo(table(measured))


if __name__ == "__main__":
    typer.run(main)

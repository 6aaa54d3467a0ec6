"""``piebench score``: score a run, or a folder or list of edited pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.cli.console import kept_on_interrupt, next_command, out, print_warning
from piebench_eval.cli.scoring_options import (
    AllowMissingOption,
    AllowPickleOption,
    ClipOption,
    DataOption,
    DeviceOption,
    DinoOption,
    ImageLoaderOption,
    LpipsAlexOption,
    LpipsVggOption,
    LpipsWeightsOption,
    MaskSizeOption,
    MetricsOption,
    ProtocolOption,
    SubsetOption,
)

_HUB = "hub:"
"""As in ``piebench_eval.packs.hub``, which is not imported for other runs."""


class Precision(StrEnum):
    """Precision of the networks."""

    fp32 = "fp32"
    bf16 = "bf16"


class PromptedBy(StrEnum):
    """What an editor is told."""

    target_prompt = "target prompt"
    instruction = "instruction"
    both = "both"


class MasksUsed(StrEnum):
    """Masks that an editor looks at."""

    none = "none"
    predicted = "predicted"
    benchmark = "benchmark"


def score(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder; or hub:OWNER/NAME, a dataset repository of the Hugging Face Hub with a pack, "
            "which is fetched into OWNER--NAME.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Edited pictures instead of a run: a folder in the official layout or with names ID.png, or "
            "a CSV file with columns id,file, or a JSON object of ids and files."
        ),
    ] = None,
    data: DataOption = None,
    name: Annotated[str | None, typer.Option(help="What to call the method of --images.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Scores file; RUN/scores.csv or NAME.csv by default.")
    ] = None,
    metrics: MetricsOption = None,
    protocol: ProtocolOption = "paper",
    image_loader: ImageLoaderOption = None,
    mask_size: MaskSizeOption = None,
    subset: SubsetOption = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Bring pictures of other sizes to their source's, and record it.")
    ] = False,
    dino: DinoOption = None,
    clip: ClipOption = None,
    lpips_weights: LpipsWeightsOption = None,
    lpips_alex: LpipsAlexOption = None,
    lpips_vgg: LpipsVggOption = None,
    allow_pickle: AllowPickleOption = False,
    device: DeviceOption = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pictures that a network is given at a time; by default what suits the device."
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="bf16 is faster on most devices, and not for publication.")
    ] = Precision.fp32,
    allow_missing: AllowMissingOption = False,
    prompted_by: Annotated[
        PromptedBy | None,
        typer.Option(help="What prompted the editor of --images; tables say it. A run knows its own."),
    ] = None,
    masks_used: Annotated[
        MasksUsed | None,
        typer.Option(
            help="Masks that the editor of --images looked at: none, its own (predicted), or the "
            "benchmark's, which say where the edit has to be; tables say it. A run knows its own."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score edited pictures, one row per picture and combination, with the eight official metrics or more.

    Scores are kept: after new edits, or with more --metrics, run it again, and only what is new is computed.

    Examples:

      piebench score runs/x

      piebench score --images edits/ --data PIE-Bench_v1 --name my-method --out my-method.csv

      piebench score --images edits/ --data PIE-Bench_v1 --name kv-edit --masks-used benchmark

      piebench score runs/x --metrics official,lpips_vgg_unedit_part,dino_similarity

      piebench score hub:OWNER/NAME --data PIE-Bench_v1
    """
    from piebench_eval.api.scoring import score as score_from_python
    from piebench_eval.models.location import check_device_name

    check_device_name(device)
    if run is not None and str(run).startswith(_HUB):
        run = _fetched(str(run))
    with kept_on_interrupt():
        scores = score_from_python(
            run,
            images=images,
            data=data,
            name=name,
            out=out_file,
            metrics=metrics,
            protocol=protocol,
            image_loader=image_loader.value if image_loader else None,
            mask_size=mask_size,
            subset=subset.value if subset else None,
            resize=resize,
            dino=dino,
            clip=clip,
            lpips_weights=lpips_weights,
            lpips_alex=lpips_alex,
            lpips_vgg=lpips_vgg,
            allow_pickle=allow_pickle,
            device=device,
            batch_size=batch_size,
            precision=precision.value,
            allow_missing=allow_missing,
            prompted_by=prompted_by.value if prompted_by else None,
            masks_used=masks_used.value if masks_used else None,
        )
    file, about = scores.attrs["file"], scores.attrs["about"]
    if precision is not Precision.fp32:
        print_warning(f"scored in {precision.value}: not for publication")
    if as_json:
        summary = {"scores": file, "rows": len(scores)}
        summary |= {what: len(about[what]) for what in ("missing", "resized")}
        out.print_json(data={**summary, "precision": precision.value, "protocol": protocol})
    else:
        out.print(f"{len(scores)} rows in {file}", markup=False)
        scored = run if run and not out_file else file
        out.print(f"Next: {next_command('table', scored, '--compare-paper')}", markup=False)


def _fetched(reference: str) -> Path:
    """The run folder of a pack on the Hub."""
    from piebench_eval.packs.hub import CLAIMED_SCORES, fetch_run

    with kept_on_interrupt("nothing is kept"):
        folder = fetch_run(reference)
    out.print(f"{reference} is in {folder}; whoever published it has scored it: {folder / CLAIMED_SCORES}")
    return folder

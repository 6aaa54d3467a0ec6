"""``piebench score``: score a run, or anybody's edited pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.cli.console import err, out, print_warning, progress_bar
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks import networks_for

if TYPE_CHECKING:
    from piebench_eval.metrics.networks import MetricModels
    from piebench_eval.runs.scoring import Candidate

_NETWORKS = "Networks"


def score(
    run: Annotated[Path | None, typer.Argument(help="Run folder.", show_default=False)] = None,
    images: Annotated[
        Path | None, typer.Option(help="Edited pictures in the official layout, instead of a run.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Benchmark folder; a run knows its own.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the method of --images.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Scores file; RUN/scores.csv or NAME.csv by default.")
    ] = None,
    dino: Annotated[
        str | None,
        typer.Option(
            help="ViT of the structure distance; facebook/dino-vitb8 by default, demo's own for demo runs.",
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="CLIP of the CLIP scores; openai/clip-vit-large-patch14 by default, likewise.",
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    lpips_weights: Annotated[
        str | None,
        typer.Option(
            help="SqueezeNet of LPIPS: squeezenet (torchvision's) by default, likewise, or a safetensors "
            "file of its features.",
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    allow_missing: Annotated[bool, typer.Option(help="Score what is there if pictures are missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score edited pictures with the eight official metrics, one row per picture and combination.

    Examples:

      piebench score runs/x

      piebench score --images edits/ --data PIE-Bench_v1 --name my-method --out my-method.csv
    """
    from piebench_eval.backbone.location import check_device_name

    check_device_name(device)
    if (run is None) == (images is None):
        raise PiebenchError("give a run folder, or --images with --data and --name")
    if run is not None:
        candidates, missing, about, file = of_run(run, data)
    else:
        candidates, missing, about, file = _of_folder(images or Path(), data, name)
    _report_missing(missing, allow_missing)
    if not candidates:
        raise PiebenchError("there is nothing to score")
    file = out_file or file
    if file.suffix == ".json" or file.is_dir():
        raise PiebenchError(f"--out {file}: name a CSV file; what made the scores is kept beside it as JSON")
    given = {"dino": dino, "clip": clip, "lpips_weights": lpips_weights}
    models = replace(
        networks_for(about.get("model")), **{role: name for role, name in given.items() if name is not None}
    )
    rows = score_into(file, candidates, models, device, about)
    if as_json:
        out.print_json(data={"scores": str(file), "rows": rows, "missing": len(missing)})
    else:
        out.print(f"{rows} rows in {file}", markup=False)
        out.print(
            f"Next: piebench table {run if run and not out_file else file} --compare-paper", markup=False
        )


def score_into(
    file: Path, candidates: list[Candidate], models: MetricModels, device: str, about: dict[str, Any]
) -> int:
    """Score pictures under a progress bar into a scores file; returns the number of its rows."""
    from piebench_eval.runs.scoring import ScoreJournal, score_candidates, write_scores

    journal = ScoreJournal(file, models)
    rows = []
    try:
        with progress_bar() as bar:
            for row in bar.track(
                score_candidates(candidates, models, device, journal),
                total=len(candidates),
                description="scoring",
            ):
                rows.append(row)
    except KeyboardInterrupt:
        err.print("stopped; what is scored is kept: run the same command again to go on")
        raise typer.Exit(130) from None
    write_scores(file, rows, models, about)
    journal.close()
    return len(rows)


def of_run(run: Path, data: Path | None) -> tuple[list[Candidate], list[str], dict[str, Any], Path]:
    """A run's pictures, what is missing of them, what made them, and where their scores belong."""
    from piebench_eval.runs.scoring import run_candidates
    from piebench_eval.runs.store import RunStore

    store = RunStore.read(run)
    candidates, missing = run_candidates(store, data)
    recipe = store.recipe
    about = {
        "recipe_hash": recipe.hash,
        "model": recipe.model,
        "image_format": recipe.image_format,
        "combinations": {"+".join(pair): recipe.combination(*pair).flat() for pair in recipe.pairs},
    }
    return candidates, missing, about, store.scores_file


def _of_folder(
    images: Path, data: Path | None, name: str | None
) -> tuple[list[Candidate], list[str], dict[str, Any], Path]:
    from piebench_eval.bench.pie_bench import load_pie_bench
    from piebench_eval.runs.scoring import folder_candidates

    if data is None or not name:
        raise PiebenchError(
            "--images needs --data (the benchmark folder) and --name (what to call the method)"
        )
    if "/" in name:
        raise PiebenchError(f"--name {name}: leave out the slash")
    candidates, missing = folder_candidates(images, load_pie_bench(data), name)
    return candidates, missing, {"images": str(images)}, Path(f"{name}.csv")


def _report_missing(missing: list[str], allowed: bool) -> None:
    if not missing:
        return
    shown = "\n".join(f"  {line}" for line in missing[:20])
    rest = f"\n  and {len(missing) - 20} more" if len(missing) > 20 else ""
    text = f"{len(missing)} pictures are missing:\n{shown}{rest}"
    if not allowed:
        raise PiebenchError(f"{text}\nmake them (piebench run resumes), or pass --allow-missing")
    print_warning(text)

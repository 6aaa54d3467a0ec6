"""``piebench score``: score a run, or anybody's edited pictures."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.cli.console import err, out, print_warning, progress_bar, split_list
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks import networks_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from piebench_eval.metrics.networks import MetricModels
    from piebench_eval.runs.candidates import Candidate
    from piebench_eval.runs.scoring import Scoring

_NETWORKS = "Networks"
_SHOWN = 20

DinoOption = Annotated[
    str | None,
    typer.Option(
        help="ViT of the structure distance; facebook/dino-vitb8 by default, demo's own for demo runs.",
        rich_help_panel=_NETWORKS,
    ),
]
ClipOption = Annotated[
    str | None,
    typer.Option(
        help="CLIP of the CLIP scores; openai/clip-vit-large-patch14 by default, likewise. Or "
        "open_clip:MODEL/WEIGHTS, as in open_clip:ViT-L-14/openai.",
        rich_help_panel=_NETWORKS,
    ),
]
LpipsOption = Annotated[
    str | None,
    typer.Option(
        help="SqueezeNet of LPIPS: squeezenet (torchvision's) by default, likewise, or a safetensors "
        "file of its features.",
        rich_help_panel=_NETWORKS,
    ),
]


class Precision(StrEnum):
    """What the networks' insides are computed in."""

    fp32 = "fp32"
    bf16 = "bf16"


@dataclass(frozen=True)
class Pictures:
    """What is to be scored.

    Attributes:
        candidates: the pictures.
        missing: a line for each that is not there.
        about: what made them.
        scores_file: where their scores belong.
    """

    candidates: list[Candidate]
    missing: list[str]
    about: dict[str, Any]
    scores_file: Path


def score(
    run: Annotated[Path | None, typer.Argument(help="Run folder.", show_default=False)] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Edited pictures instead of a run: a folder in the official layout or with names ID.png, or "
            "a CSV file with columns id,file, or a JSON object of ids and files."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Benchmark folder; a run knows its own.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the method of --images.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Scores file; RUN/scores.csv or NAME.csv by default.")
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            help="Columns, with commas between them; official stands for the eight. piebench metrics lists "
            "all."
        ),
    ] = "official",
    protocol: Annotated[
        str,
        typer.Option(
            help="paper: as published. modern: as the same evaluator computes under today's libraries. Or a "
            "YAML file that says what differs from paper."
        ),
    ] = "paper",
    resize: Annotated[
        bool, typer.Option("--resize", help="Bring pictures of other sizes to their source's, and record it.")
    ] = False,
    dino: DinoOption = None,
    clip: ClipOption = None,
    lpips_weights: LpipsOption = None,
    lpips_alex: Annotated[
        str | None,
        typer.Option(
            help="AlexNet of lpips_alex_unedit_part: alexnet (torchvision's) by default, or a safetensors "
            "file.",
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    lpips_vgg: Annotated[
        str | None,
        typer.Option(
            help="VGG of lpips_vgg_unedit_part: vgg16 (torchvision's) by default, or a safetensors file.",
            rich_help_panel=_NETWORKS,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pictures that a network is given at a time; by default what suits the device."
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="bf16 is faster on most devices, and not for publication.")
    ] = Precision.fp32,
    allow_missing: Annotated[bool, typer.Option(help="Score what is there if pictures are missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score edited pictures, one row per picture and combination, with the eight official metrics or more.

    Only what is not known yet is computed: after new edits, or with more --metrics, run it again.

    Examples:

      piebench score runs/x

      piebench score --images edits/ --data PIE-Bench_v1 --name my-method --out my-method.csv

      piebench score runs/x --metrics official,lpips_vgg_unedit_part,dino_similarity
    """
    from piebench_eval.backbone.location import check_device_name
    from piebench_eval.metrics.protocol import read_protocol
    from piebench_eval.runs.scoring import Scoring

    check_device_name(device)
    columns = chosen_columns(metrics)
    rules = read_protocol(protocol)
    pictures = pictures_of(run, images, data, name)
    report_missing(pictures.missing, allow_missing)
    if not pictures.candidates:
        raise PiebenchError("there is nothing to score")
    file = out_file or pictures.scores_file
    _require_place(file, images)
    models = models_for(pictures, dino=dino, clip=clip, lpips_weights=lpips_weights)
    more = {"lpips_alex": lpips_alex, "lpips_vgg": lpips_vgg}
    models = replace(models, **{role: name for role, name in more.items() if name is not None})
    scoring = Scoring(models, protocol, rules, columns, precision.value, resize)
    about = {**pictures.about, "missing": pictures.missing}
    rows, resized = score_into(file, pictures.candidates, scoring, device, about, batch_size)
    if precision is not Precision.fp32:
        print_warning(f"scored in {precision.value}: not for publication")
    if as_json:
        summary = {"scores": str(file), "rows": rows, "missing": len(pictures.missing), "resized": resized}
        out.print_json(data={**summary, "precision": precision.value, "protocol": protocol})
    else:
        out.print(f"{rows} rows in {file}", markup=False)
        out.print(
            f"Next: piebench table {run if run and not out_file else file} --compare-paper", markup=False
        )


def _require_place(file: Path, images: Path | None) -> None:
    """Refuse a scores file that would overwrite anything but scores.

    Raises:
        PiebenchError: it is no CSV file, or it or the JSON beside it is something else.
    """
    from piebench_eval.runs.scoring import provenance_file
    from piebench_eval.tables.about import read_about

    if file.suffix != ".csv" or file.is_dir():
        raise PiebenchError(f"--out {file}: name a CSV file; what made the scores is kept beside it as JSON")
    beside = provenance_file(file)
    taken = [place for place in (file, beside) if place.exists()]
    if taken and "networks" not in read_about(beside):
        raise PiebenchError(f"{taken[0]} is there and holds no scores; choose another --name or --out")
    if images is not None and images.resolve() in (file.resolve(), beside.resolve()):
        raise PiebenchError(f"{file} is the list of --images itself; choose another --name or --out")


def chosen_columns(text: str) -> tuple[str, ...]:
    """The columns that ``--metrics`` names.

    Raises:
        PiebenchError: there is no such metric.
    """
    from piebench_eval.metrics import METRICS
    from piebench_eval.metrics.columns import COLUMNS

    columns: list[str] = []
    for name in split_list(text) or []:
        columns += COLUMNS if name == "official" else [name]
    for column in columns:
        METRICS.get(column)
    return tuple(dict.fromkeys(columns))


def pictures_of(run: Path | None, images: Path | None, data: Path | None, name: str | None) -> Pictures:
    """What a command's arguments say is to be scored.

    Raises:
        PiebenchError: they do not go together, or name nothing.
    """
    if (run is None) == (images is None):
        raise PiebenchError("give a run folder, or --images with --data and --name")
    return pictures_of_run(run, data) if run is not None else _anybodys_pictures(images or Path(), data, name)


def pictures_of_run(run: Path, data: Path | None) -> Pictures:
    """A run's pictures.

    Raises:
        PiebenchError: it is no run, or its benchmark is gone.
    """
    from piebench_eval.runs.candidates import run_candidates
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
    return Pictures(candidates, missing, about, store.scores_file)


def _anybodys_pictures(images: Path, data: Path | None, name: str | None) -> Pictures:
    from piebench_eval.bench.pie_bench import load_pie_bench
    from piebench_eval.runs.candidates import anybodys_candidates

    if data is None or not name:
        raise PiebenchError(
            "--images needs --data (the benchmark folder) and --name (what to call the method)"
        )
    if "/" in name:
        raise PiebenchError(f"--name {name}: leave out the slash")
    candidates, missing = anybodys_candidates(images, load_pie_bench(data), name)
    about = {"images": str(images.resolve()), "data": str(data.resolve()), "name": name}
    return Pictures(candidates, missing, about, Path(f"{name}.csv"))


def models_for(pictures: Pictures, **given: str | None) -> MetricModels:
    """The networks that pictures are scored with, where none are given on the command line."""
    chosen = {role: name for role, name in given.items() if name is not None}
    return replace(networks_for(pictures.about.get("model")), **chosen)


def report_missing(missing: Sequence[str], allowed: bool) -> None:
    """List pictures that are not there.

    Raises:
        PiebenchError: there are any, and that is not allowed.
    """
    if not missing:
        return
    shown = "\n".join(f"  {line}" for line in missing[:_SHOWN])
    rest = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    text = f"{len(missing)} pictures are missing:\n{shown}{rest}"
    if not allowed:
        raise PiebenchError(f"{text}\nmake them (a run resumes with piebench run), or pass --allow-missing")
    print_warning(text)


def score_into(
    file: Path,
    candidates: Sequence[Candidate],
    scoring: Scoring,
    device: str,
    about: dict[str, Any],
    batch: int | None = None,
) -> tuple[int, int]:
    """Score pictures under a progress bar into a scores file.

    Returns:
        How many rows it has, and how many pictures were resized.

    Raises:
        PiebenchError: a picture cannot be read or has another size, or a network cannot be loaded.
    """
    from piebench_eval.runs.cells import CellStore
    from piebench_eval.runs.edited import check_sizes
    from piebench_eval.runs.scoring import cells_file, do_work, score_rows, work_on, write_scores

    resized = check_sizes(candidates, scoring.resize)
    cells = CellStore(cells_file(file))
    with kept_on_interrupt(), progress_bar() as bar:
        asked = work_on(candidates, scoring.scores, cells)
        work = list(bar.track(asked, len(candidates), description="looking what is known"))
        left = sum(bool(item.missing(cells).scores) for item in work)
        if left:
            task = bar.add_task("scoring", total=left)
            for finished in do_work(work, scoring.suite(device, batch), cells, scoring.resize):
                bar.advance(task, finished)
    cells.add([])  # what is new of digests
    write_scores(file, score_rows(work, cells), scoring, {**about, "resized": resized})
    return len(work), len(resized)


@contextmanager
def kept_on_interrupt() -> Iterator[None]:
    """End a command that is interrupted with a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("stopped; what is scored is kept: run the same command again to go on")
        raise typer.Exit(130) from None

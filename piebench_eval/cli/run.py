"""``piebench run``: edit a benchmark's pictures."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.cli.console import DEMO_NOTICE, err, out, print_warning, progress_bar, split_list
from piebench_eval.demo.embedded import DEMO, RECIPE
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes import recipe_file

if TYPE_CHECKING:
    from piebench_eval.runs.recipe import Recipe
    from piebench_eval.runs.session import RunPlan, RunSummary

_RECIPE, _SELECTION, _MACHINE = "Recipe", "Which samples", "Machine"


def run(
    out_folder: Annotated[
        Path,
        typer.Option("--out", help="Run folder; run again with the same one to resume.", show_default=False),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Benchmark folder: mapping_file.json and annotation_images/. Without --data and --model, "
            "the embedded demo world is used.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Stable Diffusion 1.x: diffusers directory or hub id; demo for the embedded model.",
            show_default=False,
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    inversion: Annotated[
        str | None,
        typer.Option(help="Inversions, commas between. See: piebench methods.", rich_help_panel=_RECIPE),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Editing methods, commas between. See: piebench methods.", rich_help_panel=_RECIPE),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Recipe in YAML, or paper or table1 for those that come along; the flags here override it.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Sampling steps, 50 by default.", rich_help_panel=_RECIPE)
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="Guidance scale of the edit, 7.5 by default.", rich_help_panel=_RECIPE),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the noise, 1234 by default.", rich_help_panel=_RECIPE)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="fp32 (default), bf16 or fp16, of UNet and text encoder.", rich_help_panel=_RECIPE),
    ] = None,
    image_format: Annotated[
        str | None,
        typer.Option(help="png (default), or jpeg:75 as the reference saves.", rich_help_panel=_RECIPE),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other field: method.cross_replace_steps=0.8, inversion.skip=2, resolution=512.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    plugins: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin",
            metavar="FILE",
            help="Python file that adds inversions or methods; may be given again.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    types: Annotated[
        str | None, typer.Option(help="Editing types, commas between: 0,1,8.", rich_help_panel=_SELECTION)
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Sample ids, commas between.", rich_help_panel=_SELECTION)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many samples, in turns over the types.", rich_help_panel=_SELECTION
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MACHINE)
    ] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Samples per batch; 1 on a CPU, 4 on a GPU.", rich_help_panel=_MACHINE),
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(help="Load weights from pickle files, which can run code.", rich_help_panel=_MACHINE),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep inverted trajectories and embeddings in, for other runs (15 MB per sample).",
            rich_help_panel=_MACHINE,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Edit pictures: every inversion with every method, resumable at any time.

    Every edit is on disk before the next begins; the same command again goes on where the last stopped.

    Examples:

      piebench run --data PIE-Bench_v1 --model CompVis/stable-diffusion-v1-4 --inversion direct --method p2p
      --out runs/direct

      piebench run --data PIE-Bench_v1 --config configs/paper.yaml --limit 20 --out runs/look

      piebench run --data PIE-Bench_v1 --config configs/table1.yaml --method pnp --out runs/pnp

      piebench run --out runs/demo        (the embedded demo world, all combinations)

      piebench run --data DIR --model DIR --inversion ddim,direct --method p2p --steps 20
      --set method.controller=auto --out runs/quick
    """
    from piebench_eval.runs.session import Selection, plan_run

    flags = {
        "model": model,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
        "precision": precision,
        "image_format": image_format,
    }
    recipe, benchmark = _build_recipe(
        config, data, flags, split_list(inversion), split_list(method), settings or [], plugins or []
    )
    selection = Selection(split_list(types), split_list(ids), limit)
    plan = plan_run(
        recipe,
        benchmark,
        out_folder,
        selection,
        device=device,
        batch_size=batch_size,
        allow_pickle=allow_pickle,
        cache=cache,
    )
    summary = work_through(plan)
    if as_json:
        out.print_json(data={"out": str(out_folder), **vars(summary)})
    else:
        out.print(f"{summary.made} edits made, {summary.found} were there already.", markup=False)
        out.print(f"Next: piebench score {out_folder}", markup=False)


def work_through(plan: RunPlan) -> RunSummary:
    """Make a plan's edits under a progress bar; on an interrupt, end the command with what is finished."""
    from piebench_eval.runs.session import execute_run, models_of

    if any(model == DEMO for model, _, _ in models_of(plan.recipe)):
        err.print(DEMO_NOTICE)
    err.print(
        f"{len(plan.samples)} samples x {len(plan.recipe.pairs)} combinations -> {plan.out}",
        markup=False,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress_bar() as bar:
            task = bar.add_task("loading the model", total=plan.edits)
            summary = execute_run(
                plan,
                lambda done: bar.update(
                    task, advance=1, description=f"{done.job.combination.name} {done.sample.id}"
                ),
            )
    except KeyboardInterrupt:
        err.print(
            f"stopped; finished edits are kept in {plan.out}: run the same command again to go on",
            markup=False,
        )
        raise typer.Exit(130) from None
    for sample_id, notes in summary.notes.items():
        for note in notes:
            print_warning(f"{sample_id}: {note}")
    return summary


def _build_recipe(
    config: Path | None,
    data: str | None,
    flags: dict[str, Any],
    inversions: list[str] | None,
    methods: list[str] | None,
    settings: list[str],
    plugins: list[Path],
) -> tuple[Recipe, Path | None]:
    """A recipe from a file, changed by flags, and the benchmark: None for the embedded one."""
    from piebench_eval.runs.recipe import build_recipe, narrow, parse_override, read_recipe_fields

    if config is not None and not config.exists() and recipe_file(str(config)).is_file():
        config = recipe_file(str(config))
    fields = read_recipe_fields(config) if config else {}
    overrides = {name: value for name, value in flags.items() if value is not None}
    overrides |= dict(parse_override(text) for text in settings)
    if data is None and "model" not in {**fields, **overrides}:
        data = DEMO
        fields = {**read_recipe_fields(RECIPE), **fields}
    source = str(config) if config else "recipe"
    fields = narrow(fields, inversions, methods, source)
    # Absolute: the run folder keeps the path, and may be opened from elsewhere.
    fields["plugins"] = [*(fields.get("plugins") or ()), *(str(file.resolve()) for file in plugins)]
    model = overrides.get("model", fields.get("model"))
    if model is None:
        raise PiebenchError(
            "--model is missing: a diffusers directory, CompVis/stable-diffusion-v1-4, or demo for the "
            "embedded model"
        )
    if data is None:
        raise PiebenchError("--data is missing: the benchmark folder, or demo for the embedded one")
    if "model" in overrides and isinstance(model, str) and model != DEMO and Path(model).is_dir():
        overrides["model"] = str(Path(model).resolve())
    recipe = build_recipe(fields, overrides, source)
    return recipe, None if data == DEMO else Path(data)

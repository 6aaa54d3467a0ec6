"""``piebench run``: edit the images of a benchmark."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from piebench_eval.api.arguments import names
from piebench_eval.cli.console import err, next_command, out
from piebench_eval.cli.execution import execute_with_progress
from piebench_eval.cli.forecast import print_forecast
from piebench_eval.cli.run_arguments import choose_shard, merge_settings, parse_batch_size
from piebench_eval.cli.scoring_options import MaskSizeOption, SubsetName
from piebench_eval.cli.sweep_runs import run_sweep

if TYPE_CHECKING:
    from piebench_eval.runs.execute import RunSummary

_RECIPE, _SELECTION, _MACHINE, _CLUSTER = "Recipe", "Which samples", "Machine", "Several machines"
DEFAULT_MAX_FAILURES = 20


def run(
    out_folder: Annotated[
        Path,
        typer.Option("--out", help="Run folder; run again with the same one to resume.", show_default=False),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Benchmark folder: mapping_file.json and annotation_images/. Without it, the embedded "
            "benchmark is drawn for --model demo (the default) and demo-flow.",
            show_default=False,
        ),
    ] = None,
    mask_size: MaskSizeOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Diffusers directory or hub id of a model of a family in piebench methods; demo or "
            "demo-flow for the embedded models.",
            show_default=False,
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    inversion: Annotated[
        str | None,
        typer.Option(help="Inversions, separated by commas. See: piebench methods.", rich_help_panel=_RECIPE),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Editing methods, separated by commas. See: piebench methods.", rich_help_panel=_RECIPE
        ),
    ] = None,
    editor: Annotated[
        str | None,
        typer.Option(
            help="Editors, separated by commas, in the place of inversions and methods unless these are "
            "given too. See: piebench methods.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Recipe in YAML, or the name of one of the package: paper, flowedit-sd3, ... (all of them: "
            "piebench methods --recipe); the flags here override it.",
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
        typer.Option(
            help="fp32 (default), tf32, bf16 or fp16, of denoiser and text encoders.", rich_help_panel=_RECIPE
        ),
    ] = None,
    prompt_from: Annotated[
        Literal["auto", "target"] | None,
        typer.Option(
            help="What instruction editors are told: auto (default), each sample's instruction; target, its "
            "target prompt.",
            show_default=False,
            rich_help_panel=_RECIPE,
        ),
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
            help="Any other field: method.cross_replace_steps=0.8, inversion.skip=2, resolution=512. "
            "See: piebench methods --recipe.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2",
            help="Make a run with every value, and every combination of the values of several keys, each "
            "in its own folder below --out. Can be repeated. See: piebench sweep.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    plugins: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin",
            metavar="FILE",
            help="Python file that adds inversions, methods or editors; can be repeated.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(help="Editing types, separated by commas: 0,8,style.", rich_help_panel=_SELECTION),
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Sample ids, separated by commas.", rich_help_panel=_SELECTION)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum number of samples, in turns over the types.", rich_help_panel=_SELECTION
        ),
    ] = None,
    subset: Annotated[
        SubsetName | None,
        typer.Option(
            help="A fixed small subset, a tenth or a fifth of the benchmark, by type and by natural and "
            "artificial pictures; its tables get no verdict.",
            show_default=False,
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    devices: Annotated[
        str,
        typer.Option(
            "--devices",
            "--device",
            help="auto (one device), all (every GPU), or names: cuda:0,cuda:1, cpu, mps.",
            rich_help_panel=_MACHINE,
        ),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes per GPU, or on the CPU, 1 by default; Ray: actors.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    batch_size: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Samples per batch; auto fills a GPU's memory, and is 1 on a CPU.",
            rich_help_panel=_MACHINE,
        ),
    ] = "auto",
    allow_pickle: Annotated[
        bool,
        typer.Option(help="Load weights from pickle files, which can run code.", rich_help_panel=_MACHINE),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps inverted trajectories and embeddings for other runs (15 MB per sample).",
            rich_help_panel=_MACHINE,
            show_default=False,
        ),
    ] = None,
    compile_blocks: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the denoiser's blocks: takes minutes, then edits are faster; changes last digits.",
            rich_help_panel=_MACHINE,
        ),
    ] = False,
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--checkpointing",
            help="Null-text and StyleDiffusion in less memory: recompute activations, do not keep them.",
            rich_help_panel=_MACHINE,
        ),
    ] = False,
    deterministic: Annotated[
        bool | None,
        typer.Option(
            "--deterministic/--no-deterministic",
            help="The same bits for any number of CPU threads, in fp32; slower, and moves last digits. On "
            "for the demo's models, off for others.",
            rich_help_panel=_MACHINE,
            show_default=False,
        ),
    ] = None,
    offload_text_encoders: Annotated[
        bool | None,
        typer.Option(
            "--offload-text-encoders/--no-offload-text-encoders",
            help="Text encoders leave the GPU once prompts are embedded; the same pictures in less memory. "
            "On where a GPU has less than 24 GB.",
            rich_help_panel=_MACHINE,
            show_default=False,
        ),
    ] = None,
    sequential_offload: Annotated[
        bool,
        typer.Option(
            "--sequential-offload",
            help="A transformer's blocks (SD3, FLUX.1) are on the GPU only while they compute; the same "
            "pictures in much less memory, slower. Text encoders leave it too.",
            rich_help_panel=_MACHINE,
        ),
    ] = False,
    feature_memory: Annotated[
        str | None,
        typer.Option(
            metavar="device=8GB,...",
            help="Where features of inversions lie until feature_sharing reads them, any of: device=8GB of a "
            "GPU, host=32GB of this machine's memory beyond, disk=/scratch for the rest; the same pictures. "
            "By default a quarter of a GPU's free memory and half of the machine's, and no disk.",
            rich_help_panel=_MACHINE,
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="local: this machine; ray: a Ray cluster.", rich_help_panel=_CLUSTER),
    ] = "local",
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N|none",
            help="Make part I of N, counted from 0; shards share one run folder. By default that of a Slurm "
            "array, or of RANK and WORLD_SIZE; none: the whole run in any case.",
            rich_help_panel=_CLUSTER,
            show_default=False,
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="auto, or ray://HOST:PORT; by default RAY_ADDRESS, or this machine.",
            rich_help_panel=_CLUSTER,
            show_default=False,
        ),
    ] = None,
    gpus_per_actor: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GPUs of each Ray actor; 1 by default if there are any.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    shared_fs: Annotated[
        bool,
        typer.Option(
            help="Whether Ray's machines see the benchmark and the run folder; if not, images are sent.",
            rich_help_panel=_CLUSTER,
        ),
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what is done, what is missing and its cost; edit nothing."),
    ] = False,
    pace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON of scripts/bench.py --out, or a folder of such files: hours for --dry-run before the "
            "first edit, where it has this device; results/bench of a clone otherwise.",
            show_default=False,
        ),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Make failed edits again.")] = False,
    max_failures: Annotated[
        int, typer.Option(min=0, help="Stop when more edits have failed.")
    ] = DEFAULT_MAX_FAILURES,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Edit images: every inversion with every method, and every editor, resumable at any time.

    Edits are saved batch by batch; the same command again resumes the run.
    An edit that fails is recorded, and the others are made; piebench status shows how far a run is.

    Examples:

      piebench run --data PIE-Bench_v1 --model CompVis/stable-diffusion-v1-4 --inversion direct --method p2p
      --out runs/direct

      piebench run --data PIE-Bench_v1 --config configs/paper.yaml --limit 20 --out runs/look

      piebench run --data PIE-Bench_v1 --config configs/table1.yaml --method pnp --out runs/pnp

      piebench run --out runs/demo        (the embedded demo world, all combinations)

      piebench run --editor sdedit --set editor.strength=0.6 --out runs/sdedit        (likewise, by SDEdit)

      piebench run --model demo-flow --out runs/demo-flow        (likewise, by flow methods)

      piebench run --data DIR --model DIR --inversion ddim,direct --method p2p --steps 20
      --set method.controller=auto --out runs/quick

      piebench run --data PIE-Bench_v1 --config paper --inversion direct --method p2p
      --sweep inversion.guidance=1,7.5 --sweep guidance=2.5,7.5 --out runs/guidance

      piebench run --data PIE-Bench_v1 --config flow-table --out runs/flow      (one run after the other)

      piebench run --data PIE-Bench_v1 --config table1 --devices all --out runs/table1

      piebench run --data PIE-Bench_v1 --config table1 --shard 0/4 --out /shared/table1
    """
    from piebench_eval.diffusion.feature_limits import parse_feature_limits
    from piebench_eval.recipes.overrides import parse_override
    from piebench_eval.recipes.run_config import RunConfig
    from piebench_eval.recipes.sweep import RUN_AXIS, parse_axes
    from piebench_eval.runs.machine import MachineOptions
    from piebench_eval.runs.plan import Selection, plan_run, plan_single_run
    from piebench_eval.runs.store.sweep_folder import CACHE_FOLDER

    flags = {
        "model": model,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
        "precision": precision,
        "prompt_from": prompt_from,
        "image_format": image_format,
    }
    run_config = RunConfig(
        config,
        data,
        merge_settings(flags, [parse_override(text) for text in settings or ()]),
        names(inversion),
        names(method),
        plugins or (),
        names(editor),
    )
    axes = {**run_config.axes, **parse_axes(sweep or [])}  # the command line overrides the file
    plan = partial(
        plan_run,
        selection=Selection(names(types), names(ids), limit, subset.value if subset else None),
        machine=MachineOptions(
            engine=engine,
            devices=devices,
            workers=workers,
            batch_size=parse_batch_size(batch_size),
            allow_pickle=allow_pickle,
            cache=cache or (out_folder / CACHE_FOLDER if set(axes) - {RUN_AXIS} else None),
            compile=compile_blocks,
            checkpointing=checkpointing,
            deterministic=deterministic,
            offload_text_encoders=offload_text_encoders,
            sequential_offload=sequential_offload,
            feature_memory=parse_feature_limits(feature_memory),
            ray_address=ray_address,
            gpus_per_actor=gpus_per_actor,
            shared_files=shared_fs,
        ),
        shard=choose_shard(shard),
        retry_failed=retry_failed,
        max_failures=max_failures,
        mask_size=mask_size,
    )
    if axes:
        run_sweep(out_folder, axes, run_config, plan, dry_run, as_json, pace)
        return
    run_plan = plan_single_run(run_config, out_folder, plan)
    if dry_run:
        print_forecast(run_plan, as_json, pace)
        return
    _print_summary(out_folder, execute_with_progress(run_plan), as_json)


def _print_summary(folder: Path, summary: RunSummary, as_json: bool) -> None:
    """Print how a run ended, and the next command.

    Raises:
        typer.Exit: edits have failed.
    """
    if as_json:
        out.print_json(data={"out": str(folder), **vars(summary)})
    else:
        out.print(
            f"{summary.made} edits made, {summary.found} were there already"
            + (f", {len(summary.failed)} failed." if summary.failed else "."),
            markup=False,
        )
    if summary.failed:
        err.print(f"Why: {next_command('status', folder)}; once more: --retry-failed", markup=False)
        raise typer.Exit(1)
    if not as_json:
        out.print(f"Next: {next_command('score', folder)}", markup=False)

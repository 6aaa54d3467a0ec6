"""``piebench verify``: how far a pack's numbers hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piebench_eval.api.progress import shown_progress
from piebench_eval.cli.console import kept_on_interrupt, out
from piebench_eval.cli.scoring_options import (
    NETWORKS,
    AllowPickleOption,
    ClipOption,
    DeviceOption,
    DinoOption,
    LpipsWeightsOption,
)
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from piebench_eval.packs.verify import Verification

_SEEDS = 1_000_000
_MARKS = {True: "ok", False: "FAILED", None: "not made"}


def verify(
    pack: Annotated[Path, typer.Argument(help="Pack, NAME.piebench.zip.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Benchmark folder, which a pack does not contain; the demo's is drawn.", show_default=False
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=0, help="How many pictures to score again, drawn at random.")
    ] = 50,
    full: Annotated[bool, typer.Option("--full", help="Score all pictures again.")] = False,
    rerun: Annotated[int, typer.Option(min=0, metavar="N", help="Make N edits again, drawn at random.")] = 0,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the draws; a new one each time by default, and printed.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="For --rerun: where the model lies here, if the recipe names a place on another machine.",
            show_default=False,
        ),
    ] = None,
    dino: DinoOption = None,
    clip: ClipOption = None,
    lpips_weights: LpipsWeightsOption = None,
    allow_pickle: AllowPickleOption = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures that a network is given at a time; by default what suits the device.",
            rich_help_panel=NETWORKS,
        ),
    ] = None,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Verify a pack: are its files whole, do its numbers follow from its scores, do its scores hold?

    Four levels are told apart: claimed; scores given, where recipe, records, pictures,
    scores and means belong together; pictures re-scored, by the networks at hand; and
    edits re-made, by the recipe (--rerun). Code that a recipe names is not run. Exit
    code 0: nothing is wrong, as far as was checked; 1: something is; 2: the file is no
    pack, or must not be unpacked.

    Examples:

      piebench verify x.piebench.zip --data PIE-Bench_v1

      piebench verify x.piebench.zip --data PIE-Bench_v1 --full --rerun 5

      piebench verify demo.piebench.zip --rerun 2 --json
    """
    from piebench_eval.models.location import check_device_name
    from piebench_eval.packs.layout import require_pack

    check_device_name(device)
    require_pack(pack)
    if data is not None and not data.is_dir():
        raise PiebenchError(f"--data {data}: is no folder; give the benchmark that the pack's run edited")
    from piebench_eval.packs.remaking import Remaking
    from piebench_eval.packs.rescoring import Rescoring
    from piebench_eval.packs.verify import verify_pack
    from piebench_eval.runs.machine import MachineOptions

    if seed is None:
        import secrets

        seed = secrets.randbelow(_SEEDS)
    given = {"dino": dino, "clip": clip, "lpips_weights": lpips_weights}
    networks = {role: name for role, name in given.items() if name is not None}
    rescoring = Rescoring(None if full else sample, seed, networks, device, batch_size, allow_pickle)
    remaking = Remaking(
        rerun, seed, model, MachineOptions(devices=device, allow_pickle=allow_pickle and model is not None)
    )
    with kept_on_interrupt("nothing is kept"), shown_progress() as on_progress:
        found = verify_pack(
            pack,
            data,
            rescoring if full or sample else None,
            remaking if rerun else None,
            on_progress,
        )
    (_print_json if as_json else _print)(found, seed)
    if found.failed:
        raise typer.Exit(1)


def _print(found: Verification, seed: int) -> None:
    from piebench_eval.packs.levels import ABOUT_LEVELS, Level

    out.print(f"{found.pack}: SHA-256 {found.sha256}; seed {seed}")
    for check in found.checks:
        style = {True: "green", False: "bold red", None: "yellow"}[check.passed]
        out.print(f"{_MARKS[check.passed]:>8} ", style=style, end="")
        out.print(f"{check.name}: {_plain(check.detail)}")
    out.print(f"Level {found.level + 1} of {len(Level)}: {found.level.title} ({ABOUT_LEVELS[found.level]})")


def _plain(text: str) -> str:
    """A text from a stranger's pack in one line, without what a terminal would obey."""
    line = "; ".join(text.splitlines())
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def _print_json(found: Verification, seed: int) -> None:
    checks = [
        {
            "name": check.name,
            "level": check.level.title,
            "result": _MARKS[check.passed].lower(),
            "detail": check.detail,
        }
        for check in found.checks
    ]
    about = {"pack": str(found.pack), "sha256": found.sha256, "seed": seed, "level": found.level.title}
    out.print_json(data={**about, "failed": len(found.failed), "checks": checks})

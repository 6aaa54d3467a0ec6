"""``piebench pack``: a scored run as one archive that others can verify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.cli.console import next_command, out, print_warning
from piebench_eval.cli.scoring_options import MovedDataOption


def pack(
    run: Annotated[Path, typer.Argument(help="Scored run folder.", show_default=False)],
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The archive, NAME.piebench.zip; the run folder's name in this folder by default.",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Whether the pictures go along; without them, nobody can score them again.",
        ),
    ] = True,
    data: MovedDataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Pack a scored run: recipe, manifest, records, scores, pictures and a card in one archive.

    The same run gives the same bytes under the same name, so the archive's SHA-256 can be
    cited. The benchmark's own pictures are not in it. Names of machines and folders are
    left out, but for a model or network that the run names by a path.

    Examples:

      piebench pack runs/x --out x.piebench.zip

      piebench pack runs/x --out x.piebench.zip --no-pictures
    """
    from piebench_eval.packs.layout import SUFFIX, require_pack_name
    from piebench_eval.runs.store.paths import require_run

    file = out_file or Path(f"{run.resolve().name}{SUFFIX}")
    require_pack_name(file)
    require_run(run)
    from piebench_eval.packs.making import pack_run

    made = pack_run(run, file, data, pictures)
    if as_json:
        out.print_json(data={**asdict(made), "file": str(made.file)})
        return
    if made.missing:
        print_warning(f"{made.missing} planned edits are missing; the pack says so")
    out.print(f"{made.edits} edits in {made.file}, {made.size / 1e6:.1f} MB; SHA-256 {made.sha256}")
    out.print(f"Next: {next_command('verify', made.file)}")

"""``piebench push``: publish a pack on the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.cli.console import kept_on_interrupt, next_command, out


def push(
    repo: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Dataset repository on the Hub.", show_default=False)
    ],
    pack: Annotated[Path, typer.Argument(help="Pack, NAME.piebench.zip.", show_default=False)],
    private: Annotated[
        bool, typer.Option("--private", help="If the repository is created, let only its owner see it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Upload a pack to a dataset repository of the Hugging Face Hub, with its card as the repository's.

    The repository is created if it is not there. Log in before with hf auth login, or set HF_TOKEN. A pack
    whose parts do not belong together is not uploaded.

    Examples:

      piebench push me/direct-p2p x.piebench.zip

      piebench score hub:me/direct-p2p --data PIE-Bench_v1        (anybody)
    """
    from piebench_eval.models.hub import require_repository
    from piebench_eval.packs.layout import require_pack

    require_repository(repo)
    require_pack(pack)
    from piebench_eval.packs.hub import HUB, push_pack

    with kept_on_interrupt("nothing was published, or all of it"):
        pushed = push_pack(repo, pack, private)
    if as_json:
        out.print_json(data=asdict(pushed))
        return
    out.print(f"{pack.name} is in {pushed.url}, commit {pushed.commit}")
    out.print(f"Next: {next_command('score', f'{HUB}{repo}')}")

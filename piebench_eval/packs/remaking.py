"""Make edits of a pack again by its recipe, and compare pixels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.images import read_image
from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.packs.levels import Check, Level
from piebench_eval.packs.rescoring import benchmark_of_pack
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.execute import execute_run
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.paths import RECIPE_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.packs.checks import Pack
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.store.records import EditKey

_NAME = "edits re-made"
_SHOWN = 5

CLOSE_DB = {"fp32": 40.0, "tf32": 30.0}
"""PSNR that an edit made again has at least, by the recipe's precision. Another device or number of threads
moves last digits: in float32 that is less than a level in nearly every pixel."""

_CLOSE_DB_IN_HALF = 25.0


@dataclass(frozen=True)
class Remaking:
    """How edits are made again.

    Attributes:
        edits: how many, drawn at random.
        seed: of the draw.
        model: where the model lies here, if the recipe names a place on another machine.
        machine: on what.
    """

    edits: int
    seed: int
    model: str | None = None
    machine: MachineOptions = field(default_factory=MachineOptions)


def remake(pack: Pack, how: Remaking, data: Path | None, on_edit: Callable[[str, int, int], None]) -> Check:
    """Make edits again, and compare them with those of the pack, pixel by pixel.

    Code that the recipe names (plugins, functions) is not run.

    Args:
        pack: the pack.
        how: how many edits, and on what.
        data: the benchmark folder; None for that of the demo, or the run's.
        on_edit: called with what is being done, how many edits are done, and of how many.
    """
    if code := [*pack.store.recipe.fields["plugins"], *pack.store.manifest()["plugins"]]:
        return Check(
            _NAME, Level.REMADE, None, f"its recipe names code, which is not run: {first_few(code, 2)}"
        )
    drawn = sorted(random.Random(how.seed).sample(sorted(pack.records), min(how.edits, len(pack.records))))
    on_edit(_NAME, 0, len(drawn))
    try:
        folder, _ = dataset_of_run(pack.store, benchmark_of_pack(pack, data))
        remade = {pair: _remade(pack, how, pair, drawn, folder) for pair in dict.fromkeys(map(_pair, drawn))}
    except PiebenchError as error:
        return Check(_NAME, Level.REMADE, None, str(error))
    compared = []
    for done, key in enumerate(drawn, start=1):
        compared.append(_compared(pack, key, remade[_pair(key)]))
        on_edit(_NAME, done, len(drawn))
    named = f"{len(drawn)} of {len(pack.records)} edits, drawn with --seed {how.seed}"
    if wrong := [line for line, holds in compared if not holds]:
        return Check(_NAME, Level.REMADE, False, f"{named}: {first_few(wrong, _SHOWN, '; ')}")
    close = [line for line, _ in compared if line]
    detail = first_few(close, _SHOWN, "; ") if close else "the same pixels"
    return Check(_NAME, Level.REMADE, True, f"{named}: {detail}")


def _pair(key: EditKey) -> tuple[str, str]:
    return key.inversion, key.method


def _remade(
    pack: Pack, how: Remaking, pair: tuple[str, str], drawn: Sequence[EditKey], data: Path
) -> RunStore:
    """Make the drawn edits of one combination, in a run folder beside the unpacked pack.

    Raises:
        PiebenchError: the recipe cannot be used here, the model is not at hand or has other weights.
    """
    mask_size = pack.store.manifest()["sessions"][-1].get("mask_size")
    ids = [key.sample for key in drawn if _pair(key) == pair]
    out = pack.store.folder / "remade" / str(len(list((pack.store.folder / "remade").glob("*"))))
    plan = plan_run(
        _recipe(pack, pair, how.model), data, out, Selection(ids=ids), how.machine, mask_size=mask_size
    )
    execute_run(plan, lambda progress: None)
    store = RunStore.read(out)
    weights, known = store.manifest()["models"], pack.store.manifest()["models"]
    if other := sorted(name for name, files in weights.items() if files not in known.values()):
        raise PiebenchError(f"the weights of {other[0]} are not those of the run; give the model by --model")
    return store


def _recipe(pack: Pack, pair: tuple[str, str], model: str | None) -> Recipe:
    """The recipe of one combination alone."""
    inversion, method = pair
    chosen: dict[str, Any] = (
        {"inversions": [inversion], "methods": [method]}
        if inversion
        else {"inversions": None, "methods": None, "editors": [method]}
    )
    fields = select_combinations(pack.store.recipe.fields, **chosen, source=RECIPE_FILE)
    return build_recipe(fields, {} if model is None else {"model": model}, RECIPE_FILE)


def _compared(pack: Pack, key: EditKey, remade: RunStore) -> tuple[str, bool]:
    """How an edit differs from the one in the pack, empty if it does not, and whether it holds."""
    name, record = f"{key.combination} {key.sample}", pack.records[key]
    if (made := remade.records().get((key.inversion, key.method, key.sample))) is None:
        return f"{name}: could not be made", False
    if made["sha256"] == record["sha256"]:
        return "", True
    if not pack.about["pictures"]:
        return f"{name}: another file, and no picture in the pack to compare it with", False
    theirs = read_image(pack.store.folder / record["file"])
    ours = read_image(next((remade.folder / "images").rglob(Path(record["file"]).name)))
    if theirs.shape != ours.shape:
        return f"{name}: has another size", False
    difference = np.abs(theirs.astype(int) - ours)
    if not difference.any():
        return "", True
    psnr = 10 * np.log10(255**2 / np.mean(difference.astype(float) ** 2))
    limit = CLOSE_DB.get(str(pack.store.recipe.settings(*_pair(key))["precision"]), _CLOSE_DB_IN_HALF)
    text = f"{name}: differs by up to {difference.max()} of 255 levels, PSNR {psnr:.1f} dB"
    return (text, True) if psnr >= limit else (f"{text}, below {limit:.0f}", False)

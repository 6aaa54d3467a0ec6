"""Evaluation sets: the edited images that are scored together, of a run or of a folder or list.

Evaluation here is scoring edited images; it is unrelated to model evaluations (NFE), which are UNet calls.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import combination_name
from piebench_eval.data.images import image_size
from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.remarks import count_remarks
from piebench_eval.data.subsets import select_subset
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.demo.draw import SIDE
from piebench_eval.demo.embedded import DEMO
from piebench_eval.editors.base import NO_MODEL
from piebench_eval.editors.described import MASKS, PROMPTED_BY
from piebench_eval.errors import PiebenchError, PiebenchWarning, first_few
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.columns import COLUMNS, IDEAL_COLUMNS
from piebench_eval.metrics.networks.metric_models import networks_for
from piebench_eval.runs.store.dataset import subset_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.scoring.edited_images import edited_images_at, edited_images_of_run, ideal_of
from piebench_eval.scoring.resolutions import with_resolutions
from piebench_eval.scoring.row_facts import facts_of_images, facts_of_run, require_declarable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.metrics.networks.metric_models import MetricModels
    from piebench_eval.scoring.edited_images import EditedImage

_SHOWN = 20


@dataclass(frozen=True)
class EvaluationSet:
    """Edited images to score together, with their samples, provenance and scores file.

    Attributes:
        edited_images: the images.
        missing: a line for each missing image.
        about: provenance for the JSON file beside the scores.
        scores_file: default path of their scores file.
    """

    edited_images: list[EditedImage]
    missing: list[str]
    about: dict[str, Any]
    scores_file: Path

    def models(self, **given: str | None) -> MetricModels:
        """The networks that they are scored with; those given by role replace the default ones."""
        chosen = {role: name for role, name in given.items() if name is not None}
        model = self.about.get("model")
        # Where no model made the edits, the benchmark says for which networks its pictures are.
        return replace(networks_for(DEMO if model == NO_MODEL and self.is_drawn else model), **chosen)

    @property
    def is_drawn(self) -> bool:
        """Whether the benchmark is a drawn one, which has ideal edits, in the demo's size."""
        return bool(self.edited_images) and all(
            edited_image.ideal is not None and image_size(edited_image.sample.file) == (SIDE, SIDE)
            for edited_image in self.edited_images
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The official columns; for a drawn benchmark also those that need its ideal edits."""
        return (*COLUMNS, *IDEAL_COLUMNS) if self.is_drawn else COLUMNS

    def require_complete(self, or_warn: bool = False) -> None:
        """Check that no image is missing.

        Args:
            or_warn: warn instead of raising.

        Raises:
            PiebenchError: some are missing; the message lists them.
        """
        if not self.missing:
            return
        shown = first_few(self.missing, _SHOWN, "\n  ", "\n  and ")
        text = f"{len(self.missing)} pictures are missing:\n  {shown}"
        if not or_warn:
            raise PiebenchError(
                f"{text}\nmake them (a run resumes with piebench run), or pass --allow-missing"
            )
        warnings.warn(text, PiebenchWarning, stacklevel=3)


def evaluation_set_of(
    run: Path | None,
    images: Path | None,
    data: Path | None,
    name: str | None,
    image_loader: ImageLoader | None = None,
    mask_size: str | None = None,
    subset: str | None = None,
    prompted_by: str | None = None,
    masks_used: str | None = None,
) -> EvaluationSet:
    """The evaluation set of a run, or of a folder or list.

    Args:
        run: a run folder.
        images: edited images instead of a run: a folder, or a list in CSV or JSON.
        data: the benchmark folder; a run knows its own.
        name: label of the method of ``images``.
        image_loader: how the sources of ``images`` were loaded when they were edited; None for edits of whole
            sources; a run knows its own.
        mask_size: the size that the masks of ``data`` are made for, if it is not the images'; a run knows its
            own.
        subset: only the samples of a fixed subset of the benchmark, see ``select_subset``.
        prompted_by: what prompted the editor of ``images``: ``target prompt``, ``instruction`` or ``both``; a
            run knows its own.
        masks_used: which masks it looked at: ``none``, ``predicted`` or ``benchmark``; likewise.

    Raises:
        PiebenchError: the arguments contradict each other, or something does not exist.
    """
    if (run is None) == (images is None):
        raise PiebenchError("give a run folder, or --images with --data and --name")
    if run is None:
        require_declarable(PROMPTED_BY, "--prompted-by", prompted_by)
        require_declarable(MASKS, "--masks-used", masks_used)
        found = _evaluation_set_of_images(images or Path(), data, name, image_loader, mask_size, subset)
        facts = facts_of_images(found.edited_images, prompted_by, masks_used)
        return replace(found, about={**found.about, "rows": {name: facts}})
    for option, value in (("--prompted-by", prompted_by), ("--masks-used", masks_used)):
        if value is not None:
            raise PiebenchError(f"{option}: is for --images; a run's editor declares it")
    if mask_size is not None:
        raise PiebenchError("--mask-size: is for --images; a run knows which size its masks were made for")
    if image_loader is not None:
        raise PiebenchError("--image-loader: is for --images; a run's recipe says how sources were loaded")
    return evaluation_set_of_run(run, data, subset)


def evaluation_set_of_run(run: Path, data: Path | None = None, subset: str | None = None) -> EvaluationSet:
    """The evaluation set of a run.

    Args:
        run: the run folder.
        data: the benchmark folder, if it has moved since the run.
        subset: only the samples of a fixed subset of the benchmark; by default that of the run, if it has
            one.

    Raises:
        PiebenchError: the folder is no run, its benchmark is missing or has no such subset.
    """
    store = RunStore.read(run)
    edited_images, missing = edited_images_of_run(store, data, subset)
    recipe = store.recipe
    declared = store.manifest().get("editors", {}) if recipe.editors else {}
    combinations = {
        # An editor is known by its name alone; a combination of that name would have an inversion.
        combination_name(*pair): {**recipe.settings(*pair), **({} if pair[0] else declared.get(pair[1], {}))}
        for pair in recipe.pairs
    }
    combinations = with_resolutions(combinations, edited_images)
    about = {
        "recipe_hash": recipe.hash,
        "model": recipe.model,
        "image_format": recipe.image_format,
        "combinations": combinations,
        "rows": facts_of_run(combinations, edited_images),
    }
    about |= _subset(subset or subset_of_run(store), edited_images, store.manifest()["data"]["images"])
    return EvaluationSet(edited_images, missing, about | _remarks(edited_images), store.scores_file)


def _evaluation_set_of_images(
    images: Path,
    data: Path | None,
    name: str | None,
    image_loader: ImageLoader | None,
    mask_size: str | None,
    subset: str | None,
) -> EvaluationSet:
    if data is None or not name:
        raise PiebenchError(
            "--images needs --data (the benchmark folder) and --name (what to call the method)"
        )
    if "/" in name:
        raise PiebenchError(f"--name {name}: leave out the slash")
    if str(data) == DEMO and not data.exists():
        data = embedded_benchmark(Path("demo-benchmark"))
    samples = load_pie_bench(data, None if mask_size is None else parse_mask_size(mask_size))
    selected = samples if subset is None else select_subset(samples, subset)
    edited_images, missing = edited_images_at(images, selected, name, image_loader)
    edited_images = [replace(each, ideal=ideal_of(data, each.sample)) for each in edited_images]
    about: dict[str, Any] = {"images": str(images.resolve()), "data": str(data.resolve()), "name": name}
    about |= {"image_loader": image_loader, "mask_size": mask_size, **_remarks(edited_images)}
    about |= _subset(subset, edited_images, len(samples))
    return EvaluationSet(edited_images, missing, about, Path(f"{name}.csv"))


def _subset(
    name: str | None, edited_images: Iterable[EditedImage], of: int
) -> dict[str, dict[str, str | int]]:
    """What is recorded of a fixed subset: its name, how many samples are scored, and of how many."""
    if name is None:
        return {}
    return {"subset": {"name": name, "samples": len({each.sample.id for each in edited_images}), "of": of}}


def _remarks(edited_images: Iterable[EditedImage]) -> dict[str, dict[str, int]]:
    """Counts of suspicious data among the samples whose edits are scored."""
    return {
        "data_remarks": count_remarks(
            {edited_image.sample.id: edited_image.sample for edited_image in edited_images}.values()
        )
    }


def metric_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Columns by names of metrics, without repetition; ``official`` stands for eight.

    Raises:
        PiebenchError: a metric does not exist.
    """
    columns: list[str] = []
    for name in names:
        columns += COLUMNS if name == "official" else [name]
    for column in columns:
        METRICS.get(column)
    return tuple(dict.fromkeys(columns))

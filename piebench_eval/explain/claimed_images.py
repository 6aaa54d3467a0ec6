"""Find the edited images behind claimed numbers: of a run, of a scores file, or of a folder or list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.models.quantization import FULL
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.scoring.evaluation_set import evaluation_set_of
from piebench_eval.scoring.scores_file import provenance_file
from piebench_eval.tables.provenance import quantized_weights, read_provenance, subset_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.scoring.evaluation_set import EvaluationSet


def evaluation_set_at(
    path: Path, data: Path | None = None, image_loader: ImageLoader | None = None
) -> EvaluationSet:
    """The edited images of a run, of a scores file, or of a folder or list.

    Args:
        path: a run folder, a scores file, or edited images as ``piebench score --images`` takes them.
        data: the benchmark folder; a run and a scores file know theirs.
        image_loader: how the sources of edited images were loaded; a run knows its own.

    Raises:
        PiebenchError: the images or their benchmark cannot be found.
    """
    if RunStore.exists(path):
        return evaluation_set_of(path, None, data, None, image_loader)
    about = read_provenance(provenance_file(path)) if path.suffix == ".csv" else {}
    if "protocol" not in about:
        if data is None:
            raise PiebenchError(f"--data is missing: name the benchmark folder of the pictures in {path}")
        return evaluation_set_of(None, path, data, path.resolve().stem, image_loader)
    if RunStore.exists(path.parent):
        subset = about.get("subset", {}).get("name")
        return evaluation_set_of(path.parent, None, data, None, image_loader, subset=subset)
    known = {field: about.get(field) for field in ("images", "data", "name")}
    if not all(isinstance(value, str) for value in known.values()):
        raise PiebenchError(f"{path}: does not say where its pictures are; give their folder, and --data")
    images, folder, name = (str(value) for value in known.values())
    loader, subset = image_loader or about.get("image_loader"), about.get("subset", {}).get("name")
    found = evaluation_set_of(None, Path(images), data or Path(folder), name, loader, subset=subset)
    return replace(found, about={**found.about, "networks": about["networks"]}, scores_file=path)


def scored_networks(evaluation_set: EvaluationSet) -> dict[str, str]:
    """The networks that a scores file names, by role; what no ``MetricModels`` can hold is left out."""
    named = evaluation_set.about.get("networks", {})
    known = MetricModels().to_dict(named)
    return {role: name for role, name in named.items() if role in known and isinstance(name, str)}


def claim_obstacle(evaluation_set: EvaluationSet, edited_images: Sequence[EditedImage]) -> str | None:
    """Why a claim about one combination's edits gets no verdict; None if it does."""
    return subset_scored(evaluation_set) or quantized_edits(evaluation_set, edited_images)


def subset_scored(evaluation_set: EvaluationSet) -> str | None:
    """Why a claim gets no verdict: these are the edits of a fixed subset alone; else None."""
    if (subset := subset_text(evaluation_set.about)) is None:
        return None
    return (
        f"No verdict: these are the edits of a subset ({subset}), and a claim rests on the whole benchmark; "
        "make and score the other edits without --subset"
    )


def quantized_edits(evaluation_set: EvaluationSet, edited_images: Sequence[EditedImage]) -> str | None:
    """Why a claim about one combination's edits gets no verdict: quantised weights made them; else None."""
    names = {combination_of(edited_image) for edited_image in edited_images}
    found = quantized_weights(evaluation_set.about)
    made = [f"{name} has weights={weights}" for name, weights in found.items() if name in names]
    if not made:
        return None
    return (
        f"No verdict: {', '.join(made)}, and quantised weights make other pictures than those of a claim; "
        f"edit them again with --set weights={FULL}"
    )


def of_combination(edited_images: Sequence[EditedImage], wanted: str | None) -> list[EditedImage]:
    """The edited images of one combination.

    Args:
        edited_images: the images of all combinations.
        wanted: the combination; None if there is only one.

    Raises:
        PiebenchError: there are several and none is named, or the named one does not exist.
    """
    names = [combination_of(edited_image) for edited_image in edited_images]
    known = list(dict.fromkeys(names))
    if not known:
        raise PiebenchError("there is nothing to explain")
    if wanted is None and len(known) > 1:
        raise PiebenchError(f"--combination is missing: name one of {', '.join(known)}")
    if wanted is not None and wanted not in known:
        raise PiebenchError(f"--combination {wanted}: no such combination; use one of {', '.join(known)}")
    return [
        edited_image
        for edited_image, name in zip(edited_images, names, strict=True)
        if name == (wanted or known[0])
    ]


def combination_of(edited_image: EditedImage) -> str:
    """The name of an edit's combination; a folder's edits may have no inversion, or a label of their own."""
    return "+".join(part for part in edited_image.labels.values() if part)

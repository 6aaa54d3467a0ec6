"""Score a run, or a folder or list of edited images, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.api.arguments import names
from piebench_eval.api.progress import shown_progress
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.protocol import read_protocol
from piebench_eval.scoring.evaluation_set import evaluation_set_of, metric_columns
from piebench_eval.scoring.score import Scoring
from piebench_eval.scoring.scores_file import provenance_file, score_images
from piebench_eval.tables.provenance import read_provenance, with_provenance
from piebench_eval.tables.scores import read_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from piebench_eval.data.images import ImageLoader


def score(
    run: str | Path | None = None,
    *,
    images: str | Path | None = None,
    data: str | Path | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    metrics: str | Sequence[str] | None = None,
    protocol: str = "paper",
    image_loader: ImageLoader | None = None,
    mask_size: str | None = None,
    subset: str | None = None,
    resize: bool = False,
    dino: str | None = None,
    clip: str | None = None,
    lpips_weights: str | None = None,
    lpips_alex: str | None = None,
    lpips_vgg: str | None = None,
    allow_pickle: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "fp32",
    allow_missing: bool = False,
    prompted_by: str | None = None,
    masks_used: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score edited pictures, as ``piebench score`` does; scores in the cache are not computed again.

    Args:
        run: a run folder.
        images: edited images instead of a run: a folder in the official layout or with names ``ID.png``,
            or a list in CSV or JSON.
        data: benchmark folder; a run knows its own.
        name: label of the method of ``images``.
        out: scores file; ``RUN/scores.csv`` or ``NAME.csv`` by default.
        metrics: columns; ``official`` stands for the eight. None for these, and for a drawn benchmark (the
            demo's) also those that compare with its ideal edits.
        protocol: ``paper``, ``modern`` or a YAML file.
        image_loader: how the sources of ``images`` were loaded when they were edited, by a recipe's names
            (``crop``, ``crop_to_multiple``, ...); they are brought to the edits' sizes in the same way. None
            for edits of whole sources, in the sources' own sizes. A run knows its own.
        mask_size: side (``512``) or size (``640x480``) of the pictures that the masks of ``data`` are made
            for, where it is not the pictures' own; they are scaled by the nearest pixels. A run knows
            its own.
        subset: only the samples of a fixed subset: ``quick-70`` or ``quick-140``; a run made on one knows it.
        resize: resize images of other sizes to their source's, and record it.
        dino: ViT of the structure distance.
        clip: CLIP of the CLIP scores.
        lpips_weights: SqueezeNet of LPIPS.
        lpips_alex: AlexNet of LPIPS.
        lpips_vgg: VGG of LPIPS.
        allow_pickle: accept networks in pickle files, which can run code when they are read.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        batch_size: pictures that a network is given at a time; by default what suits the device.
        precision: ``fp32`` or ``bf16``.
        allow_missing: score what is there if pictures are missing.
        prompted_by: what prompted the editor of ``images``: ``target prompt``, ``instruction`` or ``both``.
            A run knows its own.
        masks_used: which masks that editor looked at: ``none``, ``predicted`` (by itself) or ``benchmark``.
            A run knows its own.
        progress: show a bar.

    Returns:
        A row per picture and combination, with the metrics in the units of the evaluator; ``attrs["file"]``
        is the scores file, and ``attrs["about"]`` what made them: networks, protocol, recipe, versions, and
        which pictures were missing or resized. The column ``about`` holds the same as JSON in every row, for
        pandas drops ``attrs`` where frames of different origin are concatenated.

    Raises:
        PiebenchError: pictures are missing, cannot be read or have another size, or a network cannot be
            loaded.
    """
    if precision not in ("fp32", "bf16"):
        raise PiebenchError(f"precision {precision}: use fp32 or bf16")
    rules = read_protocol(protocol)
    asked = None if metrics is None else metric_columns(names(metrics) or ())
    run, images, data = (None if place is None else Path(place) for place in (run, images, data))
    declared = prompted_by, masks_used
    evaluation_set = evaluation_set_of(run, images, data, name, image_loader, mask_size, subset, *declared)
    evaluation_set.require_complete(or_warn=allow_missing)
    file = Path(out) if out is not None else evaluation_set.scores_file
    require_place(file, images)
    models = evaluation_set.models(
        dino=dino, clip=clip, lpips_weights=lpips_weights, lpips_alex=lpips_alex, lpips_vgg=lpips_vgg
    )
    columns = evaluation_set.columns if asked is None else asked
    scoring = Scoring(models, protocol, rules, columns, precision, resize, allow_pickle)
    with shown_progress(progress) as on_progress:
        score_images(evaluation_set, scoring, on_progress, file, device, batch_size)
    about = read_provenance(provenance_file(file))
    scores = with_provenance(read_scores(file), about)
    scores.attrs = {"file": str(file), "about": about}
    return scores


def require_place(file: Path, images: Path | None) -> None:
    """Refuse a scores file that would overwrite anything but scores.

    Args:
        file: path of the scores file.
        images: the folder or list that is scored.

    Raises:
        PiebenchError: it is no CSV file, or it or the JSON beside it exists and holds something else.
    """
    if file.suffix != ".csv" or file.is_dir():
        raise PiebenchError(f"--out {file}: name a CSV file; what made the scores is kept beside it as JSON")
    beside = provenance_file(file)
    taken = [place for place in (file, beside) if place.exists()]
    if taken and "networks" not in read_provenance(beside):
        raise PiebenchError(f"{taken[0]} is there and holds no scores; choose another --name or --out")
    if images is not None and images.resolve() in (file.resolve(), beside.resolve()):
        raise PiebenchError(f"{file} is the list of --images itself; choose another --name or --out")

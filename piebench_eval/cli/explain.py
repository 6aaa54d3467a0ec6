"""``piebench explain``: find the protocol that reproduces claimed numbers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.api.progress import progress_bar
from piebench_eval.cli.console import kept_on_interrupt, out, print_warning
from piebench_eval.cli.scoring_options import (
    AllowMissingOption,
    AllowPickleOption,
    ClipOption,
    DataOption,
    DeviceOption,
    DinoOption,
    ImageLoaderOption,
    LpipsWeightsOption,
)
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.explain.deviations import Deviation
    from piebench_eval.explain.hypotheses import Claim, Finding, Hypothesis
    from piebench_eval.explain.protocol_scores import ProtocolScores
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.scoring.evaluation_set import EvaluationSet
    from piebench_eval.scoring.score import Scoring

_SHOWN = 8
_MAX_MISFIT = 5
"""Misfit, in half last digits, above which the best hypothesis is no explanation."""


class Pairs(StrEnum):
    """Which pairs of deviations are tried."""

    none = "none"
    likely = "likely"
    all = "all"


def explain(
    place: Annotated[
        Path,
        typer.Argument(
            help="Run folder, scores file, or edited pictures as piebench score --images takes them.",
            show_default=False,
        ),
    ],
    claimed: Annotated[
        str,
        typer.Option(
            help="The numbers to explain, in Table 1's units, with all their digits: "
            "'psnr=27.22 clip_whole=25.02'.",
            show_default=False,
        ),
    ],
    combination: Annotated[
        str | None, typer.Option(help="Which of a run's combinations, as in direct+p2p.")
    ] = None,
    data: DataOption = None,
    image_loader: ImageLoaderOption = None,
    pairs: Annotated[
        Pairs,
        typer.Option(
            help="likely: pairs that touch different metrics, and those of the best deviations. all: takes "
            "long."
        ),
    ] = Pairs.likely,
    try_clip: Annotated[
        list[str] | None,
        typer.Option("--try-clip", metavar="MODEL", help="Another CLIP that may have been used; repeatable."),
    ] = None,
    dino: DinoOption = None,
    clip: ClipOption = None,
    lpips_weights: LpipsWeightsOption = None,
    allow_pickle: AllowPickleOption = False,
    device: DeviceOption = "auto",
    allow_missing: AllowMissingOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find the protocol that turns these edited pictures into claimed numbers.

    The claimed metrics are computed again under the published protocol, under each known deviation from it
    and under pairs of them. The ranking shows which comes nearest, and what to change to meet the published
    protocol. Needs the same pictures as the claim. Scores are kept: an interrupted command resumes.

    Examples:

      piebench explain runs/x --combination direct+p2p --claimed "psnr=27.22 ssim=84.76 clip_whole=25.02"

      piebench explain edits/ --data PIE-Bench_v1 --claimed "structure_distance=11.03 lpips=54.55"
    """
    from piebench_eval.explain.deviations import DEVIATIONS, other_clip
    from piebench_eval.explain.hypotheses import parse_claims
    from piebench_eval.models.location import check_device_name
    from piebench_eval.scoring.images import check_sizes
    from piebench_eval.scoring.score import Scoring

    check_device_name(device)
    claims = parse_claims(claimed)
    evaluation_set = _find_evaluation_set(place, data, image_loader.value if image_loader else None)
    evaluation_set.require_complete(or_warn=allow_missing)
    chosen = _of_combination(evaluation_set.edited_images, combination)
    if resized := check_sizes(chosen, resize=True):
        print_warning(f"{len(resized)} pictures are resized to their source's size, the first: {resized[0]}")
    given = {"dino": dino, "clip": clip, "lpips_weights": lpips_weights}
    networks = {**_networks_of(evaluation_set), **{role: name for role, name in given.items() if name}}
    models = evaluation_set.models(**networks)
    deviations = [
        *(deviation for deviation in DEVIATIONS if _applies(deviation, chosen, models.clip)),
        *map(other_clip, try_clip or ()),
    ]
    protocol_scores = _protocol_scores(
        evaluation_set, chosen, device, Scoring(models, resize=True, allow_pickle=allow_pickle)
    )
    findings = investigate(claims, deviations, protocol_scores, pairs)
    if not findings:
        raise PiebenchError("no protocol gives a number for every claim: the pictures have no such scores")
    if as_json:
        _print_json(findings, claims)
    else:
        _print_findings(findings, claims, len(chosen))


def _find_evaluation_set(place: Path, data: Path | None, image_loader: ImageLoader | None) -> EvaluationSet:
    """The edited images of a run, of a scores file, or of a folder or list."""
    from piebench_eval.runs.store.folder import RunStore
    from piebench_eval.scoring.evaluation_set import EvaluationSet, evaluation_set_of
    from piebench_eval.scoring.scores_file import provenance_file
    from piebench_eval.tables.provenance import read_provenance

    if RunStore.exists(place):
        return evaluation_set_of(place, None, data, None, image_loader)
    about = read_provenance(provenance_file(place)) if place.suffix == ".csv" else {}
    if "protocol" not in about:
        if data is None:
            raise PiebenchError(f"--data is missing: name the benchmark folder of the pictures in {place}")
        return evaluation_set_of(None, place, data, place.resolve().stem, image_loader)
    if RunStore.exists(place.parent):
        return evaluation_set_of(place.parent, None, data, None, image_loader)
    known = {field: about.get(field) for field in ("images", "data", "name")}
    if not all(isinstance(value, str) for value in known.values()):
        raise PiebenchError(f"{place}: does not say where its pictures are; give their folder, and --data")
    images, folder, name = (str(value) for value in known.values())
    loader = image_loader or about.get("image_loader")
    evaluation_set = evaluation_set_of(None, Path(images), data or Path(folder), name, loader)
    networks = {"networks": about["networks"]}
    return EvaluationSet(
        evaluation_set.edited_images, evaluation_set.missing, {**evaluation_set.about, **networks}, place
    )


def _networks_of(evaluation_set: EvaluationSet) -> dict[str, str]:
    """The networks that a scores file names; unknown roles and values that are no text are left out."""
    from piebench_eval.metrics.networks.names import MetricModels

    named = evaluation_set.about.get("networks", {})
    known = MetricModels().to_dict(named)
    return {role: name for role, name in named.items() if role in known and isinstance(name, str)}


def _of_combination(edited_images: Sequence[EditedImage], wanted: str | None) -> list[EditedImage]:
    """The edited images of one combination.

    Raises:
        PiebenchError: there are several and none is named, or the named one does not exist.
    """
    names = [
        "+".join(part for part in edited_image.labels.values() if part) for edited_image in edited_images
    ]
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


def _applies(deviation: Deviation, edited_images: Sequence[EditedImage], clip: str) -> bool:
    """Whether a deviation can change a score, given the strips, the editing types and the CLIP."""
    from piebench_eval.metrics.networks.names import OPEN_CLIP
    from piebench_eval.scoring.images import is_strip

    if clip.startswith(OPEN_CLIP) and {"processor", "activation"} & set(deviation.changes.get("clip", {})):
        return False
    if "panel" in deviation.changes.get("pictures", {}):
        return any(map(is_strip, edited_images))
    types = deviation.changes.get("average", {}).get("types")
    counted = {edited_image.sample.type_id for edited_image in edited_images}
    return types is None or 0 < len(counted & set(types)) < len(counted)


def _protocol_scores(
    evaluation_set: EvaluationSet, edited_images: Sequence[EditedImage], device: str, scoring: Scoring
) -> ProtocolScores:
    from piebench_eval.explain.protocol_scores import ProtocolScores
    from piebench_eval.scoring.cache import ScoreCache
    from piebench_eval.scoring.scores_file import cache_file

    # One image at a time: its intermediate results under many protocols fill the memory.
    suite = scoring.suite(device, batch=1)
    return ProtocolScores(edited_images, scoring, suite, ScoreCache(cache_file(evaluation_set.scores_file)))


def investigate(
    claims: Sequence[Claim], deviations: Sequence[Deviation], protocol_scores: ProtocolScores, wanted: Pairs
) -> list[Finding]:
    """Rank the published protocol, single deviations and pairs of them, the best first; shows progress."""
    from piebench_eval.explain import hypotheses as ranking

    deviations = [deviation for deviation in deviations if ranking.affects(deviation, claims)]
    tried = len(deviations)
    hypotheses = ranking.singles(deviations)
    _compute_scores(hypotheses, claims, protocol_scores, "each deviation")
    alone = ranking.rank(hypotheses, claims, protocol_scores, tried)
    if wanted is Pairs.none:
        return alone
    if wanted is Pairs.all:
        both = ranking.pairs(deviations)
    else:
        both = ranking.promising_pairs(deviations, alone, claims, protocol_scores)
    _compute_scores(both, claims, protocol_scores, "pairs of deviations")
    return ranking.rank([*hypotheses, *both], claims, protocol_scores, tried)


def _compute_scores(
    hypotheses: Sequence[Hypothesis], claims: Sequence[Claim], protocol_scores: ProtocolScores, title: str
) -> None:
    scores = protocol_scores.unknown(
        required for hypothesis in hypotheses for required in hypothesis.required_scores(claims)
    )
    if not scores:
        return
    with kept_on_interrupt(), progress_bar() as bar:
        task = bar.add_task(f"{title} ({len(scores)} scores a picture)", total=len(protocol_scores.types))
        for finished in protocol_scores.compute(scores):
            bar.advance(task, finished)
        bar.update(task, completed=len(protocol_scores.types))


def _print_findings(findings: Sequence[Finding], claims: Sequence[Claim], pictures: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from piebench_eval.explain.hypotheses import indistinguishable

    best = findings[0]
    grid = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, collapse_padding=True)
    for title in ("", "meets", "misfit", *(claim.metric.key for claim in claims)):
        grid.add_column(f"{title} ", justify="right", no_wrap=True)
    grid.add_column("protocol", overflow="fold")
    grid.add_row("claimed", "", "", *(f"{claim.value:g} " for claim in claims), "")
    for place, finding in enumerate(findings[:_SHOWN], 1):
        numbers = [f"{number:.3f} " for number in finding.predicted]
        meets = f"{finding.reproduced}/{len(claims)} "
        grid.add_row(f"{place} ", meets, f"{finding.misfit:.1f} ", *numbers, finding.hypothesis.title)
    out.print(grid)
    out.print(
        f"{len(findings)} protocols tried on {pictures} pictures. Misfit: root mean square difference in "
        "half last digits. A deviation must explain more than chance would, or the simpler one ranks first."
    )
    for line in advice(best, indistinguishable(best, findings, claims)):
        out.print(line, markup=False)


def advice(best: Finding, others: Sequence[Finding]) -> list[str]:
    """Lines that say what the best finding means and what to change."""
    if best.misfit > _MAX_MISFIT:
        lines = [
            "No known protocol gives these numbers from these pictures: they may be of other pictures, or of "
            f"something else. Nearest: {best.hypothesis.title}."
        ]
    elif not best.hypothesis.deviations:
        return ["The claim is what the published protocol gives."]
    else:
        lines = [f"Most likely: {best.hypothesis.title}."]
    if others:
        lines.append("The claims cannot tell it from: " + "; ".join(one.hypothesis.title for one in others))
    return lines + [
        f"To meet the published protocol: {deviation.remedy}" for deviation in best.hypothesis.deviations
    ]


def _print_json(findings: Sequence[Finding], claims: Sequence[Claim]) -> None:
    from piebench_eval.tables.formats.cells import json_number

    rows: list[dict[str, Any]] = [
        {
            "deviations": [deviation.key for deviation in finding.hypothesis.deviations],
            "title": finding.hypothesis.title,
            "changes": [deviation.changes for deviation in finding.hypothesis.deviations],
            "remedies": [deviation.remedy for deviation in finding.hypothesis.deviations],
            "misfit": json_number(finding.misfit),
            "reproduced": finding.reproduced,
            "predicted": {
                claim.metric.key: json_number(value)
                for claim, value in zip(claims, finding.predicted, strict=True)
            },
        }
        for finding in findings
    ]
    claimed = {claim.metric.key: json_number(claim.value) for claim in claims}
    out.print_json(data={"claimed": claimed, "findings": rows})

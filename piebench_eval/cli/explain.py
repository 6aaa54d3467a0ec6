"""``piebench explain``: find the protocol that reproduces claimed numbers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.api.progress import shown_progress
from piebench_eval.cli.console import kept_on_interrupt, out, print_warning
from piebench_eval.cli.scoring_options import (
    AllowMissingOption,
    AllowPickleOption,
    ClipOption,
    DataOption,
    DeviceOption,
    DinoOption,
    ImageLoaderOption,
    LpipsAlexOption,
    LpipsVggOption,
    LpipsWeightsOption,
)
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.explain.hypotheses import Claim, Finding

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
        typer.Option(
            "--try-clip",
            metavar="MODEL",
            help="Another CLIP that may have been used; repeatable. OpenAI's ViT-B/16 and ViT-B/32 are tried "
            "anyway where --clip is no folder.",
        ),
    ] = None,
    dino: DinoOption = None,
    clip: ClipOption = None,
    lpips_weights: LpipsWeightsOption = None,
    lpips_alex: LpipsAlexOption = None,
    lpips_vgg: LpipsVggOption = None,
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
    from piebench_eval.explain.applicable import applicable_deviations, with_networks
    from piebench_eval.explain.claimed_images import (
        claim_obstacle,
        evaluation_set_at,
        of_combination,
        scored_networks,
    )
    from piebench_eval.explain.hypotheses import parse_claims
    from piebench_eval.explain.protocol_scores import ProtocolScores
    from piebench_eval.explain.search import search_protocols
    from piebench_eval.models.location import check_device_name
    from piebench_eval.scoring.cache import ScoreCache
    from piebench_eval.scoring.images import check_sizes
    from piebench_eval.scoring.score import Scoring
    from piebench_eval.scoring.scores_file import cache_file

    check_device_name(device)
    claims = parse_claims(claimed)
    evaluation_set = evaluation_set_at(place, data, image_loader.value if image_loader else None)
    evaluation_set.require_complete(or_warn=allow_missing)
    edited_images = of_combination(evaluation_set.edited_images, combination)
    if resized := check_sizes(edited_images, resize=True):
        print_warning(f"{len(resized)} pictures are resized to their source's size, the first: {resized[0]}")
    given = {"dino": dino, "clip": clip, "lpips_weights": lpips_weights}
    given |= {"lpips_alex": lpips_alex, "lpips_vgg": lpips_vgg}
    given = {**scored_networks(evaluation_set), **{role: name for role, name in given.items() if name}}
    models = evaluation_set.models(**given)
    deviations = applicable_deviations(edited_images, models, try_clip or ())
    scoring = Scoring(models, resize=True, allow_pickle=allow_pickle)
    score_cache = ScoreCache(cache_file(evaluation_set.scores_file))
    # One image at a time: its intermediate results under many protocols fill the memory.
    networks = scoring.networks(device, batch_size=1)
    deviations, untried = with_networks(deviations, claims, networks)
    for line in untried:
        print_warning(line)
    protocol_scores = ProtocolScores(edited_images, scoring, networks, score_cache)
    with kept_on_interrupt(), shown_progress() as on_progress:
        findings = search_protocols(claims, deviations, protocol_scores, pairs.value, on_progress)
    if not findings:
        raise PiebenchError("no protocol gives a number for every claim: the pictures have no such scores")
    obstacle = claim_obstacle(evaluation_set, edited_images)
    if as_json:
        _print_json(findings, claims, obstacle)
    else:
        _print_findings(findings, claims, len(edited_images), obstacle)


def _print_findings(
    findings: Sequence[Finding], claims: Sequence[Claim], pictures: int, obstacle: str | None = None
) -> None:
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
    lines = [obstacle] if obstacle else advice(best, indistinguishable(best, findings, claims))
    for line in lines:
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


def _print_json(findings: Sequence[Finding], claims: Sequence[Claim], obstacle: str | None) -> None:
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
    without = {"no_verdict": obstacle} if obstacle else {}
    out.print_json(data={"claimed": claimed, "findings": rows, **without})

"""Distance to the ideal edit, over the whole image; only drawn benchmarks have ideal edits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.background import PSNR_EVERYWHERE
from piebench_eval.metrics.base import Metric
from piebench_eval.metrics.lpips import LPIPS_EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.metrics.scoring_batch import ScoringBatch, SourceImage


def to_ideal(title: str, metric: Metric) -> Metric:
    r"""The same metric $M$ between edit $y$ and ideal edit $z$ instead of the source: $M(z, y)$."""

    def score(edits: ScoringBatch) -> Sequence[float]:
        return metric.score(_with_ideals_as_sources(edits))

    return replace(metric, title=title, score=score, needs_ideal=True)


def recognised(edits: ScoringBatch) -> list[float]:
    r"""Whether a check of pixels reads the same scene in the edit as in the ideal edit, 1 or 0.

    $$\mathrm{recognised} = [\, s(y) = s(z) \,]$$

    $s$ is the scene in words (``piebench_eval.demo.reading``), $y$ the edit and $z$ the ideal edit; nan where
    the source shows the ideal edit's scene already.
    """
    from piebench_eval.demo.reading import scene_in_words

    def words(name: str, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        rules = [edits.protocol.pictures]
        return edits.cached(f"words of {name}", rules, lambda: [*map(scene_in_words, images)])

    before = edits.per_edit(words("sources", edits.source_images))
    ideal = edits.per_edit(words("ideals", _with_ideals_as_sources(edits).source_images))
    after = words("edits", edits.images)
    return [
        float("nan") if old == wanted else float(shown == wanted)
        for old, wanted, shown in zip(before, ideal, after, strict=True)
    ]


def _with_ideals_as_sources(edits: ScoringBatch) -> ScoringBatch:
    """The batch with ideal edits in place of the sources."""
    return replace(edits, sources=[_ideal_as_source(source) for source in edits.sources], computed={})


def _ideal_as_source(source: SourceImage) -> SourceImage:
    if source.ideal is None:
        raise PiebenchError("there is no ideal edit to compare with; only a drawn benchmark has them")
    return replace(source, image=source.ideal)


PSNR_TO_IDEAL = to_ideal("PSNR to ideal", PSNR_EVERYWHERE)
LPIPS_TO_IDEAL = to_ideal("LPIPS to ideal", LPIPS_EVERYWHERE)
RECOGNISED = Metric(
    title="Recognised",
    paper="piebench-eval: whether a check of pixels reads the same scene in the edit and the ideal edit",
    better="higher",
    score=recognised,
    sections=("pictures",),
    scale=100,
    unit="%",
    needs_ideal=True,
)

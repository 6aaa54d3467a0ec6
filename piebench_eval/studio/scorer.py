"""Scores of one edit: of its background where there is a mask, and CLIP's in any case."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from piebench_eval.data.images import KEEPS_SIZE
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS, CLIP_SOURCE, CLIP_TARGET
from piebench_eval.metrics.networks.metric_models import networks_for
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.models.device_errors import is_out_of_memory, release_memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.data.sample import Sample
    from piebench_eval.metrics.networks.metric_networks import MetricNetworks
    from piebench_eval.metrics.scoring_batch import ScoringBatch, SourceImage

_FULL = "the GPU's memory is full beside the model; the edit itself is whole"


class Scorer:
    """Scores edits by networks that stay loaded.

    Attributes:
        model: the model that makes the edits; embedded ones are scored by embedded networks.
        device: see ``resolve_device``.
        allow_pickle: load networks from pickle files.
    """

    def __init__(self, model: str, device: str, allow_pickle: bool = False):
        self.model, self.device, self.allow_pickle = model, device, allow_pickle
        self._missing: dict[str, str] = {}

    def scores(
        self, sample: Sample, picture: NDArray[np.uint8], loader: ImageLoader
    ) -> tuple[dict[str, float], list[str]]:
        """Score an edit under the published protocol.

        A network that cannot be loaded, such as one that is not on this machine while there is no network,
        costs its own scores alone, and is not tried again.

        Args:
            sample: the sample.
            picture: the edit ``[height, width, 3]``.
            loader: how the source was brought to the edit's size.

        Returns:
            Columns and scores, in the units of the evaluator, and notes on scores that could not be had;
            those of the background are missing without a mask.
        """
        from piebench_eval.metrics.scoring_batch import ScoringBatch

        self._missing = {column: why for column, why in self._missing.items() if why != _FULL}
        columns = [*(BACKGROUND_COLUMNS if sample.mask_rle else ()), CLIP_SOURCE, CLIP_TARGET]
        source = source_of_edit(sample, picture, loader)
        batch = ScoringBatch(self._networks, PAPER, [source], [0], [picture], {})
        scores = {column: score for column in columns if (score := self._score(batch, column)) is not None}
        missing: dict[str, list[str]] = {}
        for column in columns:
            if column in self._missing:
                missing.setdefault(self._missing[column], []).append(METRICS.get(column).title)
        return scores, [f"no {' and no '.join(titles)}: {why}" for why, titles in missing.items()]

    def _score(self, batch: ScoringBatch, column: str) -> float | None:
        from piebench_eval.scoring.score import score_edits

        if column in self._missing:
            return None
        try:
            return float(score_edits(batch, column)[0])
        except PiebenchError as error:
            self._missing[column] = str(error)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._missing[column] = _FULL
        release_memory()  # out of the handler, whose traceback held what filled the memory
        return None

    @cached_property
    def _networks(self) -> MetricNetworks:
        from piebench_eval.metrics.networks.metric_networks import MetricNetworks
        from piebench_eval.models.device import resolve_device

        return MetricNetworks(
            networks_for(self.model),
            resolve_device(self.device),
            batch_size=1,
            allow_pickle=self.allow_pickle,
        )


def source_of_edit(sample: Sample, picture: NDArray[np.uint8], loader: ImageLoader) -> SourceImage:
    """A sample's source and mask at the pixels of its edit.

    Args:
        sample: the sample.
        picture: the edit ``[height, width, 3]``.
        loader: how the source was brought to the edit's size.
    """
    from piebench_eval.scoring.images import load_source

    height, width, _ = picture.shape
    source = load_source(sample, min(height, width), loader)
    if loader != KEEPS_SIZE:
        return source
    return replace(source, image=source.image[:height, :width], mask=source.mask[:height, :width])

"""Blocks of edits as metric tests make and score them."""

from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.metrics.scoring_batch import ScoringBatch, SourceImage
from piebench_eval.scoring.score import score_edits


def block(networks, pairs, protocol=PAPER, prompts=("a [cat]", "a [dog]")):
    """Edits of ``(source, mask, edited)``, each with a source of its own."""
    sources = [SourceImage(image, mask, *prompts) for image, mask, _ in pairs]
    return ScoringBatch(networks, protocol, sources, range(len(pairs)), [edited for *_, edited in pairs], {})


def score_one(networks, image, mask, edited, protocol=PAPER, columns=COLUMNS, **options):
    """Scores of one edit, by column."""
    edits = block(networks, [(image, mask, edited)], protocol, **options)
    return {column: score_edits(edits, column)[0] for column in columns}

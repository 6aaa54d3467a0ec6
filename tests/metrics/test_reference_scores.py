"""The reference evaluator's numbers, cell by cell, and what every known deviation makes of them."""

import csv
import json
import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from piebench_eval.data.masks import load_mask
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.explain.deviations import DEVIATIONS
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.networks.metric_networks import MetricNetworks
from piebench_eval.metrics.protocol import MODERN, PAPER
from piebench_eval.metrics.scoring_batch import ScoringBatch
from piebench_eval.metrics.structure import network_input, self_similarity
from piebench_eval.scoring.edited_images import edited_images_at
from piebench_eval.scoring.images import load_edit, load_source
from piebench_eval.scoring.score import score_edits

pytestmark = pytest.mark.golden
NAME = "directinversion+p2p"

# relative and absolute tolerance of each column, from the recordings' README
TOLERANCES = {
    "structure_distance": (1e-4, 1e-8),
    "psnr_unedit_part": (0, 1e-4),
    "mse_unedit_part": (1e-5, 1e-12),
    "lpips_unedit_part": (1e-3, 1e-8),
    "ssim_unedit_part": (0, 2e-5),
    "clip_similarity_source_image": (0, 1e-3),
    "clip_similarity_target_image": (0, 1e-3),
    "clip_similarity_target_image_edit_part": (0, 1e-3),
}

# what the study of deviations calls them
STUDIED = {
    "a": ["brackets"],
    "a2": ["full-stop"],
    "a3": ["photo-prefix"],
    "a4": ["end-token"],
    "b": ["dino-unit-range"],
    "b+c": ["dino-unit-range", "dino-antialias"],
    "b2": ["dino-signed-range"],
    "c": ["dino-antialias"],
    "d": ["dino-pil-bilinear"],
    "d2": ["dino-pil-bicubic"],
    "d3": ["dino-pil-bicubic", "dino-unit-range"],
    "d4": ["dino-layer-10"],
    "d5": ["dino-layer-9"],
    "d6": ["dino-queries"],
    "d7": ["dino-tokens"],
    "d8": ["dino-no-cls"],
    "d9": ["dino-heads"],
    "d10": ["dino-no-normalisation"],
    "e": ["no-frame"],
    "e2": ["inverted-mask"],
    "e3": ["no-mask"],
    "f": ["kept-pixels"],
    "f2": ["uint8-difference"],
    "h": ["lpips-unit-range"],
    "h2": ["lpips-grey-hole"],
    "h3": ["lpips-kept"],
    "h4": ["bgr"],
    "h5": ["lpips-256"],
    "i": ["ssim-uniform"],
    "i3": ["ssim-grey"],
    "i4": ["ssim-kept"],
    "i5": ["ssim-range-2"],
    "i6": ["ssim-levels"],
    "j2": ["jpeg-75"],
    "j3": ["jpeg-95"],
    "j4": ["jpeg-95-444"],
    "k": ["clip-box"],
    "k2": ["clip-framed-box"],
    "k3": ["clip-masked-box"],
    "k4": ["clip-white"],
    "l": ["clip-torchvision"],
    "l2": ["clip-torchvision"],
    "q": ["bgr"],
    "r": ["squeezed-strip"],
    "r2": ["second-panel"],
    "u": ["clip-gelu"],
    "u2": ["clip-bilinear"],
    "u3": ["clip-no-antialias"],
    "u5": ["clip-tensor"],
}


@pytest.fixture(scope="module")
def networks(golden_metrics):
    models = golden_metrics / "models"
    names = MetricModels(
        str(models / "dino-vit-tiny-patch8"),
        str(models / "openai-clip-tiny"),
        str(models / "squeezenet1_1-features-random.safetensors"),
    )
    return MetricNetworks(names, torch.device("cpu"))


@pytest.fixture(scope="module")
def samples(golden_metrics):
    return load_pie_bench(golden_metrics / "data")


@pytest.fixture(scope="module")
def edits(golden_metrics, networks, samples):
    edited_images, missing = edited_images_at(golden_metrics / "output" / NAME, samples, NAME)
    assert not missing
    sources = [load_source(sample, 512) for sample in samples]
    return ScoringBatch(
        networks, PAPER, sources, range(len(samples)), [load_edit(one).pixels for one in edited_images], {}
    )


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(
    ("protocol", "file"),
    [(PAPER, "metrics_golden.csv"), (MODERN, "metrics_golden_modern_fast.csv")],
    ids=["paper", "modern"],
)
def test_every_cell(golden_metrics, edits, samples, protocol, file, column):
    with (golden_metrics / file).open() as stream:
        expected = {row["file_id"]: float(row[f"1_{NAME}|{column}"]) for row in csv.DictReader(stream)}
    measured = dict(
        zip(
            [sample.id for sample in samples], score_edits(edits.with_protocol(protocol), column), strict=True
        )
    )
    assert set(measured) == set(expected)
    for sample_id, value in expected.items():
        assert_same(measured[sample_id], value, TOLERANCES[column], sample_id)


def assert_same(measured, expected, tolerance, what, effect=0.0):
    """Equal within a tolerance and 5% of an effect; nan and inf exactly."""
    relative, absolute = tolerance
    if math.isfinite(expected):
        assert abs(measured - expected) <= relative * abs(expected) + absolute + 0.05 * effect, what
    else:
        assert str(measured) == str(expected), what


def studied(golden_metrics):
    """Rows of the study, by the short name of the deviation."""
    rows = defaultdict(list)
    with (golden_metrics / "forensics.csv").open() as stream:
        for row in csv.DictReader(stream):
            if row["set"] == "shared":
                rows[row["deviation"].split()[0]].append(row)
    return rows


def one_of(edits, index):
    """An edit of a batch by itself."""
    sources, saved_images = ([those[index]] for those in (edits.sources, edits.saved_images))
    return ScoringBatch(edits.networks, edits.protocol, sources, [0], saved_images, {})


VARIANTS = {"b+c", "b2", "d2", "d3", "d5", "e2", "e3", "h4", "j2", "j3", "l2", "r2"}
"""Other values of what another deviation sets (as the layer 9 beside 10), and what others show together."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in VARIANTS else []) for name in STUDIED]
)
def test_every_deviation_has_the_effect_that_was_studied(golden_metrics, edits, samples, name):
    """Within 5% of the change that the study found, beside the tolerance of the column."""
    protocol = PAPER
    for deviation in DEVIATIONS:
        if deviation.key in STUDIED[name]:
            protocol = protocol.with_changes(deviation.changes)
    rows = studied(golden_metrics)[name]
    assert rows
    ids = [sample.id for sample in samples]
    if len({row["file_id"] for row in rows}) == 1:
        index = ids.index(rows[0]["file_id"])
        ids, edits = ids[index : index + 1], one_of(edits, index)
    for column in dict.fromkeys(row["metric"] for row in rows):
        measured = score_edits(edits.with_protocol(protocol), column)
        for row in (row for row in rows if row["metric"] == column):
            official, deviated = (float(row[field] or "nan") for field in ("official", "deviated"))
            effect = abs(deviated - official)
            effect = effect if math.isfinite(effect) else 0.0
            value = measured[ids.index(row["file_id"])]
            assert_same(value, deviated, TOLERANCES[column], (column, row["file_id"]), effect)


def test_every_studied_deviation_that_matters_is_known(golden_metrics):
    """What is left out changes nothing, is a rounding of half precision, or a library's version."""
    left_out = {"a5", "d11", "i2", "j", "l3", "o", "o2", "o3", "o4", "v1", "v2", "v3", "v4", "v5"}
    assert set(studied(golden_metrics)) == set(STUDIED) | left_out


def test_intermediates(golden_metrics, networks, samples, edits):
    """Where a difference would arise: the self-similarity, the text embedding, the mask."""
    expected = json.loads((golden_metrics / "intermediates.json").read_text())
    for sample, source in zip(samples, edits.sources, strict=True):
        about = expected[sample.id]
        assert load_mask(sample, frame=True).sum() == about["mask_sum"]
        assert (sample.source_prompt, sample.target_prompt) == (
            about["source_prompt"],
            about["target_prompt"],
        )
        with torch.inference_mode():
            keys = networks.dino.read(network_input([source.image], PAPER.structure), 11, "keys")
            text = networks.clip(None, "own").texts([sample.target_prompt], keep_end=False)[0]
        mean = self_similarity(keys).mean().item()
        assert mean == pytest.approx(about["key_selfsim_source"]["mean"], rel=1e-5)
        text = text / text.norm()
        np.testing.assert_allclose(text[:5], about["clip_text_embedding_target_first5"], atol=1e-5)


@torch.inference_mode()
def test_an_over_long_prompt_is_cut_behind_its_77th_token(networks):
    """No end token is left: the embedding is read at the largest remaining id, not at the start token."""
    long = "a cat sitting " * 40 + "astronaut"
    cut = " ".join(long.split()[:76])
    clip = networks.clip(None, "own")
    embedding, other, same = clip.texts([long, "sitting", cut], keep_end=False)
    assert not torch.allclose(embedding, other)
    assert torch.allclose(embedding, same, atol=1e-6)
    kept = clip.texts([long, " ".join(long.split()[:75])], keep_end=True)
    assert torch.allclose(*kept, atol=1e-6) and not torch.allclose(kept[0], embedding, atol=1e-3)

"""Features of inversions that leave a GPU: copies arrive whole, and where they lie changes no bit."""

import pytest
import torch

from piebench_eval.diffusion.feature_limits import FeatureLimits
from piebench_eval.diffusion.feature_store import FeatureStore
from piebench_eval.models.loading import load_model
from piebench_eval.runs.batch_editing import edit_latents
from piebench_eval.runs.feature_places import worker_limits
from tests.support.recipes import shipped

pytestmark = pytest.mark.cuda

SHAPE = (1, 24, 1536, 128)
"""What FLUX.1 has in a layer at 512 pixels."""

FEATURES = 2 * 113
"""As many as there are in two blocks of pinned memory."""

CYCLES = 50_000_000
"""Some hundredths of a second for which the GPU is busy before it copies anything."""


def numbered(device, number):
    """A feature whose memory lies as a projection's, behind enough work that its copy comes late."""
    torch.cuda._sleep(CYCLES)
    return torch.full(
        (SHAPE[0], SHAPE[2], SHAPE[1], SHAPE[3]), number, device=device, dtype=torch.bfloat16
    ).transpose(1, 2)


@pytest.fixture
def on_host(card):
    return FeatureStore(FeatureLimits(device=0))


def test_the_host_reads_what_has_arrived(card, on_host):
    """It was put there a moment ago, and the GPU has not even computed it."""
    stored = on_host.put(numbered(card, 3.0), step=1)
    assert stored.load(None).is_pinned()
    assert (stored.load(None) == 3).all()


def test_copies_are_of_what_was_there_before_it_was_overwritten(card, on_host):
    feature = numbered(card, 1.0)
    stored = on_host.put(feature, step=1)
    feature.fill_(2.0)
    assert (stored.load(card) == 1).all() and (stored.load(None) == 1).all()


def test_another_stream_waits_for_the_copy(card, on_host):
    stored = on_host.put(numbered(card, 5.0), step=1)
    with torch.cuda.stream(torch.cuda.Stream(card)):
        assert (stored.load(card) == 5).all()


def test_memory_that_is_dropped_while_it_is_copied_is_not_reused_too_early(card):
    """Copies to and fro are still queued when their blocks of pinned memory are asked for again."""
    feature = torch.ones(SHAPE, device=card, dtype=torch.bfloat16)
    store, read = FeatureStore(FeatureLimits(device=0, host=4 * feature.nbytes)), []  # three in a block
    for step in range(1, 41):
        stored = store.put(numbered(card, float(step)), step)
        read.append(stored.load(card))
        store.drop(step, [stored])
        del stored
    assert [tensor.unique().tolist() for tensor in read] == [[float(step)] for step in range(1, 41)]
    assert not any(store.held.values())


def test_pinned_memory_is_little_more_than_the_features(card, on_host, record_property):
    def pinned():
        torch.cuda.synchronize(card)
        return torch.cuda.host_memory_stats()["active_bytes.current"]

    if not hasattr(torch.cuda, "host_memory_stats"):
        pytest.skip("this PyTorch does not tell of pinned memory")
    before = pinned()
    feature = torch.ones(SHAPE, device=card, dtype=torch.bfloat16)
    stored = [on_host.put(feature, 1) for _ in range(FEATURES)]
    taken = pinned() - before
    record_property("pinned bytes per byte", f"{taken / on_host.held['host']:.2f}")
    assert on_host.held["host"] == FEATURES * feature.nbytes <= taken <= 1.02 * FEATURES * feature.nbytes
    assert all((each.load(None) == 1).all() for each in stored)


def test_where_features_lie_changes_no_bit(card, tiny_flux, samples, tmp_path):
    recipe = shipped("rf-solver-edit-flux", {"model": str(tiny_flux), "steps": 3, "method.first_layer": 0})
    combination, model = recipe.combination(*recipe.pairs[0]), load_model(str(tiny_flux), device=card)
    limits = [
        worker_limits(FeatureLimits(), card, workers=1, on_device=1),
        FeatureLimits(device=0),
        FeatureLimits(device=200_000, host=200_000, disk=tmp_path),
    ]
    found = [edit_latents(model, samples[:2], combination, feature_limits=each)[0] for each in limits]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])

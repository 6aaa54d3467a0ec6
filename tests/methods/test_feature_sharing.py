"""Feature sharing: what is kept of an inversion, where sampling finds it, and who goes with it."""

import dataclasses
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from piebench_eval.diffusion.feature_limits import FeatureLimits
from piebench_eval.diffusion.feature_store import FeatureOutOfMemoryError, _PinnedPieces
from piebench_eval.diffusion.features import FeatureMemory
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import FlowSchedule
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.attention import AttentionLayer, plain_attention
from piebench_eval.models.cache import Cache
from piebench_eval.models.device_errors import is_out_of_memory
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import encode_inputs

SIGMAS = (0.0, 0.2, 0.5, 0.8, 1.0)
SCHEDULE = FlowSchedule(tuple(1000 * sigma for sigma in SIGMAS[1:]), SIGMAS)
STEPS = len(SIGMAS) - 1
SIDE = 64
EVERYTHING = {"inject": STEPS, "first_layer": 0}


@pytest.fixture(scope="module")
def model(tiny_sd3):
    return load_model(str(tiny_sd3))


def prepared(model, samples, guidance=1.0, **settings):
    """A controller, and inputs whose inversion keeps what it asks for."""
    method = METHODS.get("feature_sharing")
    controller = method.prepare(samples, model, STEPS, method.settings(**settings)).controller
    inputs = encode_inputs(model, samples, SIDE, guidance=Guidance(guidance))
    return controller, dataclasses.replace(inputs, features=controller.features)


def inverted(model, inputs, inversion, **settings):
    entry = INVERSIONS.get(inversion)
    return entry.invert(model, inputs, SCHEDULE, entry.settings(**settings))


def edited(model, samples, inversion="rf_solver", guidance=1.0, **settings):
    controller, inputs = prepared(model, samples, guidance, **settings)
    return edit(model, inputs, inverted(model, inputs, inversion), controller, SCHEDULE)


class Values:
    """The values of all joint attentions of one call."""

    def __init__(self):
        self.found = {}

    def attend(self, layer, query, key, value):
        self.found[layer.index] = value
        return plain_attention(query, key, value)


@torch.no_grad()
def values_of(model, inputs, latents, time):
    hook = Values()
    with model.attention_through(hook, latents.shape[-2:]):
        model.predict(latents, time, inputs.inversion_embeds, range(len(latents)))
    return hook.found


def test_what_an_inversion_computes_is_kept_by_step_and_evaluation(model, samples):
    """The midpoint's two evaluations of the steps next to the noise; others are not kept."""
    controller, inputs = prepared(model, samples[:2], inject=2, first_layer=1)
    trajectory = inverted(model, inputs, "rf_solver").trajectory
    memory, some_layer = controller.memory, AttentionLayer("joint", 1, 2, (1, 1))
    assert list(memory.levels) == [3, 4]
    for level in memory.levels:
        first = values_of(model, inputs, trajectory[level - 1], 1000 * SIGMAS[level - 1])
        torch.testing.assert_close(memory.read(level, -2, some_layer, "value"), first[1], atol=1e-5, rtol=0)
        middle = memory.read(level, -1, some_layer, "value")
        assert not torch.equal(middle, first[1]) and middle.shape == first[1].shape
        below = dataclasses.replace(some_layer, index=0)
        assert memory.read(level, -1, below, "value") is None
        assert memory.read(level, -1, some_layer, "key") is None
    assert memory.read(2, -1, some_layer, "value") is None
    held = memory.held["host"]
    memory.forget(4)
    assert memory.held["host"] == held / 2


def test_fireflow_keeps_no_first_evaluation_but_that_of_its_first_step(model, samples):
    controller, inputs = prepared(model, samples[:1], **EVERYTHING)
    inverted(model, inputs, "fireflow")
    layer = AttentionLayer("joint", 0, 2, (1, 1))
    for level in range(1, STEPS + 1):
        assert controller.memory.read(level, -1, layer, "value") is not None
        assert (controller.memory.read(level, -2, layer, "value") is not None) == (level == 1)


@pytest.mark.parametrize("inversion", ["rf_solver", "uni_inv"])
def test_steps_are_counted_from_where_sampling_starts(model, samples, inversion):
    settings = {"alpha": 0.5} if inversion == "uni_inv" else {}
    controller, inputs = prepared(model, samples[:1], inject=1, first_layer=0)
    found = inverted(model, inputs, inversion, **settings)
    assert list(controller.memory.levels) == [found.steps]


@pytest.mark.parametrize("inversion", ["euler", "rf_solver", "fireflow", "uni_inv", "direct"])
def test_nothing_shared_is_plain_sampling_and_sharing_is_not(model, samples, inversion):
    method = METHODS.get("plain")
    inputs = encode_inputs(model, samples[:1], SIDE, guidance=Guidance(1.0))
    controller = method.prepare(samples[:1], model, STEPS, method.settings()).controller
    plain = edit(model, inputs, inverted(model, inputs, inversion), controller, SCHEDULE)
    for nothing in ({"inject": 0}, {"first_layer": 99}, {"editing_strategy": []}):
        assert torch.equal(edited(model, samples[:1], inversion, **{**EVERYTHING, **nothing}), plain)
    assert (edited(model, samples[:1], inversion, **EVERYTHING) - plain).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("strategy", "ratios"),
    [
        (["add_v"], {"value_ratio": 0.0}),
        (["add_q", "add_k"], {"query_ratio": 0.0, "key_ratio": 0.0}),
    ],
)
def test_adding_nothing_is_no_sharing(model, samples, strategy, ratios):
    shared = edited(model, samples[:1], editing_strategy=strategy, **EVERYTHING, **ratios)
    torch.testing.assert_close(shared, edited(model, samples[:1], inject=0), atol=1e-6, rtol=0)


def test_replacing_comes_before_adding(model, samples):
    """Which together are twice the inversion's."""
    both = edited(model, samples[:1], editing_strategy=["add_v", "replace_v"], **EVERYTHING)
    twice = edited(model, samples[:1], editing_strategy=["replace_v"], value_ratio=2.0, **EVERYTHING)
    torch.testing.assert_close(both, twice, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="names an operation twice"):
        METHODS.get("feature_sharing").settings(editing_strategy=["add_v", "add_v"])


def test_the_texts_tokens_are_shared_unless_told_otherwise(model, samples):
    all_tokens, of_image = (
        edited(model, samples[:1], tokens=tokens, **EVERYTHING) for tokens in ("all", "image")
    )
    assert (all_tokens - of_image).abs().max() > 1e-5


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_batch_gives_what_its_samples_give_alone(model, samples, guidance):
    together = edited(model, samples[:2], "fireflow", guidance, **EVERYTHING)
    for place in (0, 1):
        alone = edited(model, [samples[place]], "fireflow", guidance, **EVERYTHING)
        torch.testing.assert_close(together[place], alone[0], atol=1e-4, rtol=0)


def test_nothing_is_left_after_an_edit_and_the_cache_has_no_part_in_it(model, samples):
    model.cache = Cache({})
    try:
        for _ in range(2):  # a trajectory from the cache would keep nothing
            controller, inputs = prepared(model, samples[:1], **EVERYTHING)
            found = inverted(model, inputs, "rf_solver")
            assert controller.memory.held["host"] > 0
            edit(model, inputs, found, controller, SCHEDULE)
            assert controller.memory.held == {"device": 0, "host": 0}
    finally:
        model.cache = None


class Copied:
    """An event of a GPU that is not there: what was done about it."""

    def __init__(self, done):
        self.done = done

    def record(self, stream):
        self.done.append("recorded")

    def synchronize(self):
        self.done.append("waited for")


@pytest.fixture
def events(monkeypatch):
    """A GPU that is not there: what its events were used for. Without a GPU there is no pinned memory."""
    done, empty = [], torch.empty
    stream = SimpleNamespace(wait_event=lambda event: done.append("queued behind"))
    monkeypatch.setattr(torch, "empty", lambda *shape, pin_memory=False, **kind: empty(*shape, **kind))
    monkeypatch.setattr(torch.cuda, "Event", lambda: Copied(done))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    return done


LAYER = AttentionLayer("joint", 0, 2, (1, 1))


def keeping(limits, features=("value", "key"), device="cuda"):
    """A memory that has been given one evaluation of ``[1, 2, 3, 4]`` floats, 96 bytes per feature."""
    memory = FeatureMemory(lambda layer: True, 1, features, limits)
    memory.begin_inversion(1)
    memory.begin_evaluation(1)
    kinds = ("query", "key", "value")
    states = {kind: torch.full((1, 2, 3, 4), float(place), device=device) for place, kind in enumerate(kinds)}
    memory.attend(LAYER, *states.values())
    return memory


BYTES = 96


def test_what_exceeds_the_budget_goes_to_the_host(events):
    with FakeTensorMode():
        memory = keeping(FeatureLimits(device=BYTES))
        kept = {name: memory.read(1, -1, LAYER, name).device.type for name in ("value", "key")}
    assert kept == {"value": "cuda", "key": "cpu"}
    assert memory.held == {"device": BYTES, "host": BYTES}


def test_the_host_reads_nothing_before_it_has_arrived(events):
    """The GPU's own stream reads it behind the copy, and nobody waits."""
    with FakeTensorMode():
        memory = keeping(FeatureLimits(device=0), ["value"])
        assert events == ["recorded"]
        memory.read(1, -1, LAYER, "value", torch.device("cuda:0"))
        assert events == ["recorded", "queued behind"]
        memory.read(1, -1, LAYER, "value")
    assert events == ["recorded", "queued behind", "waited for"]


def test_pinned_memory_is_taken_in_blocks_and_no_piece_twice(events):
    """PyTorch rounds what it pins up to a power of two, 9.4 MB of a layer of FLUX.1 to 16.8."""
    pieces, like = _PinnedPieces(10_000), torch.zeros(3, 100, dtype=torch.bfloat16)
    taken = [pieces.take(like) for _ in range(20)]
    begins = sorted(piece.data_ptr() for piece in taken)
    assert all(piece.shape == like.shape and piece.dtype == like.dtype for piece in taken)
    assert all(after - before >= like.nbytes for before, after in pairwise(begins))
    blocks = {piece.untyped_storage().data_ptr(): piece.untyped_storage().nbytes() for piece in taken}
    assert len(blocks) == 2 and set(blocks.values()) == {8192}  # 12 pieces of 640 bytes in each


def test_files_have_what_exceeds_the_host_and_no_name(tmp_path):
    """So nothing is left of them, however the process ends."""
    memory = keeping(FeatureLimits(host=BYTES, disk=tmp_path / "new"), device="cpu")
    assert memory.held == {"device": 0, "host": BYTES, "disk": BYTES}
    assert [memory.read(1, -1, LAYER, kind).unique().item() for kind in ("key", "value")] == [1, 2]
    assert not list((tmp_path / "new").iterdir())
    memory.clear()
    assert not any(memory.held.values()) and memory.read(1, -1, LAYER, "key") is None


def test_features_without_room_name_the_remedy(tmp_path):
    with pytest.raises(FeatureOutOfMemoryError, match="--feature-memory disk=FOLDER") as refused:
        keeping(FeatureLimits(host=BYTES), device="cpu")
    assert is_out_of_memory(refused.value), "a batch is halved"
    (tmp_path / "file").write_text("")
    with pytest.raises(PiebenchError, match=r"disk=.*file: cannot be written to"):
        keeping(FeatureLimits(host=0, disk=tmp_path / "file"), device="cpu")


def test_where_features_lie_changes_no_bit(model, samples, tmp_path):
    settings = {"editing_strategy": ["add_q", "replace_v"], **EVERYTHING}
    plain = edited(model, samples[:1], **settings)
    controller, inputs = prepared(model, samples[:1], **settings)
    controller.memory.keep_within(FeatureLimits(host=100_000, disk=tmp_path))
    found = inverted(model, inputs, "rf_solver")
    assert controller.memory.held["host"] > 0 < controller.memory.held["disk"]
    assert torch.equal(edit(model, inputs, found, controller, SCHEDULE), plain)
    assert not any(controller.memory.held.values())


def test_inversions_that_keep_nothing_are_refused(tiny_sd3):
    def recipe(inversion):
        fields = {"model": str(tiny_sd3), "inversions": [inversion], "methods": ["feature_sharing"]}
        built = build_recipe(fields, {}, "test")
        return [built.combination(*pair) for pair in built.pairs]

    require_compatible(recipe("rf_solver"))
    for inversion in ("flowedit", "flow_align", "dnaedit"):
        with pytest.raises(PiebenchError, match=rf"{inversion} keeps nothing of that; use euler, rf_solver"):
            require_compatible(recipe(inversion))

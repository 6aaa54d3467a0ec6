"""Methods on joint attention, where image and text are one sequence: against maps that are written out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from piebench_eval.data.sample import Sample
from piebench_eval.diffusion import words
from piebench_eval.diffusion.controller import controlled
from piebench_eval.diffusion.rows import Row, RowBatch, StepRows
from piebench_eval.errors import PiebenchError
from piebench_eval.methods import METHODS
from piebench_eval.methods.word_plan import plan_words
from piebench_eval.models.attention import AttentionLayer, image_to_text_maps, plain_attention
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.recipe import build_recipe
from tests.runs.test_combinations import SWITCHED_OFF, run, same_prompts
from tests.support.tiny_sd3 import WIDTH, new_t5_tokenizer, new_transformer, tame
from tests.support.weights import fill

GRID, HEADS, STEPS = (4, 6), 2, 10
IMAGE = GRID[0] * GRID[1]
FOUR_ROWS = frozenset({Row.SOURCE_UNCOND, Row.SOURCE_COND, Row.TARGET_UNCOND, Row.TARGET_COND})
LENGTHS = (12, 20)  # of CLIP's tokens and of T5's
TEXT = sum(LENGTHS)
SHARING = ["masactrl", "value_sharing"]
SHARED = {"masactrl": ("key", "value"), "value_sharing": ("value",)}
EVERYWHERE = {
    "masactrl": {"start_step": 0, "start_layer": 0},
    "value_sharing": {"value_steps": 1, "first_layer": 0},
    "p2p": {"cross_replace_steps": 1, "self_replace_steps": 1, "blend_word_weight": 1, "local_blend": False},
}


def joint(index=0):
    return AttentionLayer("joint", index, 2, GRID, slice(IMAGE, None))


class Model:
    """What methods ask of a model; its text is CLIP's and T5's tokens, and zeros behind them or not."""

    device = torch.device("cpu")
    denoiser = None

    def __init__(self, tokenizer, family):
        self.tokenizer, self.family = tokenizer, family
        self.text_tokenizers = list(zip((tokenizer, new_t5_tokenizer()), LENGTHS, strict=True))


@pytest.fixture(scope="module")
def reader(tokenizer, model_of):
    return Model(tokenizer, model_of("sd3").family)


def sample_of(source="a cat next to a mirror", target="a round dog next to a mirror", blended="cat dog"):
    return Sample("1", "1.png", Path(), source, target, "", "0", blended, ())


def controller_of(reader, method, samples=None, step=0, **settings):
    """In the first of ten steps, with all rows."""
    entry, samples = METHODS.get(method), samples or [sample_of()]
    prepared = entry.prepare(samples, reader, STEPS, entry.settings(**settings))
    rows = RowBatch.of_step([StepRows(FOUR_ROWS, False)] * len(samples))
    prepared.controller.begin_step(step, rows, (2 * GRID[0], 2 * GRID[1]))
    return prepared.controller


def states(samples=1, text=TEXT, dtype=torch.float32):
    """Query, key and value of four rows of each sample."""
    drawn = torch.randn(3, 4 * samples, HEADS, IMAGE + text, 8, generator=torch.Generator().manual_seed(1))
    return tuple(drawn.to(dtype))


def written_out(query, key):
    """Maps over the whole sequence."""
    return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)


SOURCE, TARGET = Row.SOURCE_COND, Row.TARGET_COND


@pytest.mark.parametrize("text", [slice(IMAGE, None), slice(0, 32)], ids=["behind", "before"])
def test_maps_are_a_block_of_the_whole_sequences(text):
    layer = AttentionLayer("joint", 0, 2, GRID, text)
    query, key, _ = states()
    expected = written_out(query, key)[:, :, layer.image, layer.text]
    torch.testing.assert_close(image_to_text_maps(layer, query, key), expected, atol=1e-6, rtol=0)
    half = image_to_text_maps(layer, query.bfloat16(), key.bfloat16())
    rounded = written_out(query.bfloat16().float(), key.bfloat16().float())[:, :, layer.image, layer.text]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, rounded, atol=1e-6, rtol=0)


@pytest.mark.parametrize("takes", ["cross", "self", "both"])
@pytest.mark.parametrize("more", [0, 5])
def test_p2ps_rows_are_of_edited_maps(reader, takes, more):
    """Block by block, written out; ``more``: zeros in the place of a text encoder that is not there."""
    shares = {"cross_replace_steps": takes != "self", "self_replace_steps": takes != "cross"}
    controller = controller_of(reader, "p2p", **shares, local_blend=False)
    query, key, value = states(text=TEXT + more)
    maps = written_out(query, key)
    edited, own = maps[TARGET].clone(), maps[TARGET]
    if takes != "self":
        plan = plan_words(sample_of(), reader.text_tokenizers, controller.settings)
        known = slice(IMAGE, IMAGE + TEXT)
        aligned = maps[SOURCE][:, :IMAGE, known] @ torch.from_numpy(plan.matrix)
        taken = torch.from_numpy(plan.use_source_map)
        mixed = aligned * taken + own[:, :IMAGE, known] * (1 - taken)
        edited[:, :IMAGE, known] = mixed * torch.from_numpy(plan.equalizer)
        edited[:, :IMAGE, known.stop :] = maps[SOURCE][:, :IMAGE, known.stop :]
    if takes != "cross":
        edited[:, :IMAGE, :IMAGE] = maps[SOURCE][:, :IMAGE, :IMAGE]
    found = controller.attend(joint(), query, key, value)
    torch.testing.assert_close(found[TARGET], edited @ value[TARGET], atol=1e-5, rtol=0)
    assert (found[TARGET] - own @ value[TARGET]).abs().max() > 1e-2
    others = [Row.SOURCE_UNCOND, SOURCE, Row.TARGET_UNCOND]
    plain = plain_attention(query, key, value)
    assert torch.equal(found[others], plain[others])
    assert torch.equal(found[TARGET][:, IMAGE:], plain[TARGET][:, IMAGE:])


def test_p2ps_maps_are_the_sources_if_all_is_taken_of_equal_prompts(reader):
    same = [sample_of(target="a cat next to a mirror", blended="")]
    controller = controller_of(reader, "p2p", same, **EVERYWHERE["p2p"])
    query, key, value = states()
    found = controller.attend(joint(), query, key, value)[TARGET][:, :IMAGE]
    by_source = plain_attention(query[SOURCE], key[SOURCE], value[TARGET])[:, :IMAGE]
    torch.testing.assert_close(found, by_source, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_p2p_in_half_precision(reader, dtype):
    controller = controller_of(reader, "p2p", local_blend=False)
    inputs = states(dtype=dtype)
    found = controller.attend(joint(), *inputs)
    exact = controller.attend(joint(), *(tensor.float() for tensor in inputs))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), exact, atol=0.03, rtol=0)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


def test_p2p_writes_no_map_over_the_whole_sequence(reader):
    """At 1024 pixels it would have 4096 x 4429 numbers for each head."""
    grid, tokens = (32, 32), TEXT
    layer = AttentionLayer("joint", 0, 2, grid, slice(32 * 32, None))
    query, key, value = torch.randn(3, 4, HEADS, 32 * 32 + tokens, 16)
    with Largest() as largest:
        controller_of(reader, "p2p").attend(layer, query, key, value)
    assert largest.numbers <= max(query.numel(), 2 * HEADS * 32 * 32 * tokens) < HEADS * (32 * 32) ** 2


def test_local_blend_adds_up_a_words_tokens_of_both_tokenizers(reader):
    controller = controller_of(
        reader, "p2p", cross_replace_steps=0, self_replace_steps=0, blend_word_weight=1
    )
    query, key, value = states(text=TEXT + 5)
    maps = written_out(query, key)[:, :, :IMAGE, IMAGE:].mean(dim=1)
    found = controller.attend(joint(), query, key, value)
    assert torch.equal(found, plain_attention(query, key, value))
    for branch, (row, prompt, word) in enumerate(
        [(SOURCE, sample_of().source_prompt, "cat"), (TARGET, sample_of().target_prompt, "dog")]
    ):
        of_clip, of_t5 = (
            words.tokens_of_word(prompt, word, tokenizer, length)
            for tokenizer, length in reader.text_tokenizers
        )
        assert of_clip and of_t5
        places = [*of_clip, *(LENGTHS[0] + place for place in of_t5)]
        expected = maps[row][:, places].sum(dim=-1).reshape(GRID)
        torch.testing.assert_close(controller.local_blend.attention[0, branch], expected, atol=1e-6, rtol=0)


def test_the_blend_of_one_sample_of_two(reader):
    """In the steps that take nothing, only samples with a blended word have a row of the source."""
    batch = [sample_of(blended=""), sample_of()]
    controller = controller_of(reader, "p2p", batch, cross_replace_steps=0.5, self_replace_steps=0)
    inputs = states(samples=2)
    controller.attend(joint(), *inputs)
    of_edited = controller.local_blend.attention
    assert of_edited.shape == (1, 2, *GRID)
    alone = controller_of(reader, "p2p", batch[1:], cross_replace_steps=0.5, self_replace_steps=0)
    alone.attend(joint(), *(tensor[1::2] for tensor in inputs))
    torch.testing.assert_close(alone.local_blend.attention, of_edited, atol=1e-6, rtol=0)


def test_each_tokenizers_words_are_aligned_by_themselves(reader):
    plan = plan_words(sample_of(), reader.text_tokenizers, METHODS.get("p2p").settings())
    clip, total = LENGTHS[0], TEXT
    assert plan.matrix.shape == (total, total) and plan.blend.shape == (2, total)
    assert not plan.matrix[:clip, clip:].any() and not plan.matrix[clip:, :clip].any()
    parts = slice(0, clip), slice(clip, total)
    for part, tokens in zip(parts, reader.text_tokenizers, strict=True):
        alone = plan_words(sample_of(), [tokens], METHODS.get("p2p").settings())
        np.testing.assert_array_equal(plan.matrix[part, part], alone.matrix)
        for name in ("use_source_map", "equalizer"):
            np.testing.assert_array_equal(getattr(plan, name)[part], getattr(alone, name))
        np.testing.assert_array_equal(plan.blend[:, part], alone.blend)
    assert plan.notes == []


@pytest.mark.parametrize("method", SHARING)
def test_the_images_keys_and_values_are_the_sources(reader, method):
    controller = controller_of(reader, method, **EVERYWHERE[method])
    inputs = dict(zip(("query", "key", "value"), states(), strict=True))
    plain = plain_attention(**inputs)
    found = controller.attend(joint(), **inputs)
    for source, target in ((Row.SOURCE_UNCOND, Row.TARGET_UNCOND), (SOURCE, TARGET)):
        of_target = {name: tensor[target].clone() for name, tensor in inputs.items()}
        for name in SHARED[method]:
            of_target[name][:, :IMAGE] = inputs[name][source][:, :IMAGE]
        torch.testing.assert_close(found[target], plain_attention(**of_target), atol=1e-6, rtol=0)
        assert torch.equal(found[source], plain[source])
        assert (found[target] - plain[target]).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("method", "settings", "step", "shared"),
    [
        ("masactrl", {"start_step": 4, "start_layer": 1}, 3, []),
        ("masactrl", {"start_step": 4, "start_layer": 1}, 4, [1, 2]),
        ("value_sharing", {"value_steps": 0.5, "first_layer": 1, "last_layer": 1}, 4, [1]),
        ("value_sharing", {"value_steps": 0.5, "first_layer": 1}, 4, [1, 2]),
        ("value_sharing", {"value_steps": 0.5, "first_layer": 0}, 5, []),
        ("p2p", {"cross_replace_steps": 0.5, "self_replace_steps": 0.4, "local_blend": False}, 5, []),
        ("p2p", {"cross_replace_steps": 0.5, "self_replace_steps": 0.4, "local_blend": False}, 4, [0, 1, 2]),
    ],
)
def test_elsewhere_attention_is_plain_to_the_bit(reader, method, settings, step, shared):
    controller, inputs = controller_of(reader, method, step=step, **settings), states()
    plain = plain_attention(*inputs)
    changed = [
        layer for layer in range(3) if not torch.equal(controller.attend(joint(layer), *inputs), plain)
    ]
    assert changed == shared


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("method", EVERYWHERE)
@torch.no_grad()
def test_in_the_transformer_only_the_targets_rows_change(reader, method, newer):
    """The second attention of Stable Diffusion 3.5's first block takes part."""
    transformer = tame(fill(new_transformer(newer=newer), seed=1))
    shape = (2 * GRID[0], 2 * GRID[1])
    generator = torch.Generator().manual_seed(2)

    def draw(*sizes):
        return torch.randn(sizes, generator=generator)

    inputs = {
        "hidden_states": draw(4, 16, *shape),
        "encoder_hidden_states": draw(4, TEXT, WIDTH),
        "pooled_projections": draw(4, 40),
        "timestep": torch.full((4,), 500.0),
    }
    without = transformer(**inputs).sample
    controller = controller_of(reader, method, **EVERYWHERE[method])
    with controlled(transformer, controller, shape):
        found = transformer(**inputs).sample
    sources = [Row.SOURCE_UNCOND, SOURCE]
    assert torch.equal(found[sources], without[sources])
    assert (found[TARGET] - without[TARGET]).abs().max() > 1e-3
    # A target that begins as the source does, with its text, is the source.
    for tensor in inputs.values():
        tensor[[Row.TARGET_UNCOND, TARGET]] = tensor[sources]
    same = controller_of(reader, method, [same_prompts(sample_of())], **EVERYWHERE[method])
    with controlled(transformer, same, shape):
        found = transformer(**inputs).sample
    torch.testing.assert_close(found[[Row.TARGET_UNCOND, TARGET]], found[sources], atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", EVERYWHERE)
def test_the_second_attention_of_the_image_alone_takes_part(reader, method):
    """Stable Diffusion 3.5's first blocks have one."""
    controller = controller_of(reader, method, **EVERYWHERE[method])
    inputs = [tensor[:, :, :IMAGE] for tensor in states()]
    found = controller.attend(AttentionLayer("self", 0, 2, GRID), *inputs)
    plain = plain_attention(*inputs)
    assert (found[TARGET] - plain[TARGET]).abs().max() > 1e-2
    assert torch.equal(found[SOURCE], plain[SOURCE])


@pytest.mark.parametrize("method", ["p2p", *SHARING])
def test_a_batch_of_sd3_gives_what_its_samples_give_alone(model_of, samples, method):
    model, settings = model_of("sd3"), {"start_step": 1} if method == "masactrl" else {}
    together = run(model, samples[:3:2], "direct", method, **settings)[0]
    for place in (0, 1):
        alone = run(model, [samples[2 * place]], "direct", method, **settings)[0]
        torch.testing.assert_close(together[place], alone[0], atol=1e-4, rtol=0)
    off = run(model, samples[:3:2], "direct", method, **SWITCHED_OFF[method])[0]
    assert (off - together).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_the_default_layers_are_the_second_half(model_of, samples):
    """Of 3 joint attentions; nobody has published any."""
    model = model_of("sd3")
    masactrl, sharing = (METHODS.get(name) for name in SHARING)
    assert masactrl.prepare(samples, model, 4, masactrl.settings()).controller.start_layer == 1
    assert sharing.prepare(samples, model, 4, sharing.settings()).controller.first_layer == 1
    unet = model_of("sd1")
    of_unet = sharing.prepare(samples, unet, 4, sharing.settings()).controller.first_layer
    assert of_unet == sum(".attn1." in name for name in unet.denoiser.attn_processors) // 2 > 1
    (note,) = masactrl.prepare(samples[:1], model, 4, masactrl.settings(start_layer=3)).notes[0]
    assert note.startswith("joint-attention is the target's own everywhere") and note.endswith("number 2")


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("p2p", {"blend_downsampling": 4}, "leave it empty"),
        ("proximal", {"blend_downsampling": 4}, "leave it empty"),
        ("p2p", {"self_replace_downsampling": 4}, "nothing is taken; set it to 2"),
        ("p2p", {"self_replace_downsampling": 4, "self_replace_steps": 0}, None),
        ("p2p", {"blend_downsampling": 4, "local_blend": False}, None),
        ("p2p", {"blend_downsampling": 2}, None),
    ],
)
def test_grids_that_joint_attention_has_not_are_refused(reader, method, settings, said):
    fields = {"model": "unused", "family": "sd3", "inversions": ["direct"], "methods": {method: settings}}
    combination = build_recipe(fields, {}, "test").combination("direct", method)
    if said is None:
        require_compatible([combination], reader.family)
        return
    with pytest.raises(PiebenchError, match=f"method.{next(iter(settings))}=4: .*{said}"):
        require_compatible([combination], reader.family)


def test_layers_that_do_not_ascend_are_refused():
    with pytest.raises(ValueError, match="last_layer: 2 is before first_layer, 3"):
        METHODS.get("value_sharing").settings(first_layer=3, last_layer=2)

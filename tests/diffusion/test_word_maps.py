"""Mean maps of words."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from piebench_eval.diffusion.word_maps import WordMaps, tokens_of_each_word
from tests.support.tiny_sd3 import new_t5_tokenizer

PROMPT = "a zebra sitting"  # the tokens of "zebra" are five
TOKENS = [[1], [2, 3, 4, 5, 6], [7]]
SIZE = (8, 12)


def drawn(tokens, grid, heads=2):
    logits = torch.randn(heads, grid[0] * grid[1], tokens, generator=torch.Generator().manual_seed(3))
    return logits.softmax(-1)


def test_a_words_map_is_the_sum_over_its_tokens_and_the_mean_over_heads_and_layers(tokenizer):
    words = WordMaps(["", PROMPT], [(tokenizer, 77)])
    layers = [drawn(77, SIZE), drawn(80, (4, 6))]  # three tokens behind the tokenizer's own
    for step, (maps, grid) in enumerate(zip(layers, [SIZE, (4, 6)], strict=True)):
        words.add(1, maps, grid, SIZE, step)
    assert words.wants([0, 1]) == [1] and words.of_sample(0) == []
    found = words.of_sample(1)
    assert [word.word for word in found] == PROMPT.split() and words.steps[1] == {0, 1}
    for word, tokens in zip(found, TOKENS, strict=True):
        by_layer = [maps.mean(0)[:, tokens].sum(-1) for maps in layers]
        small = functional.interpolate(by_layer[1].view(1, 1, 4, 6), SIZE, mode="bilinear")[0, 0]
        expected = (by_layer[0].view(SIZE) + small) / 2
        assert word.map.dtype == np.float32
        np.testing.assert_allclose(word.map, expected, atol=1e-6)


@pytest.mark.parametrize("grid", [(4, 6), SIZE, (16, 24)])
def test_all_tokens_of_a_place_sum_to_1_at_every_size(tokenizer, grid):
    prompt = " ".join(["cat"] * 100)  # every token of a word but the first and the last
    words = WordMaps([prompt], [(tokenizer, 77)])
    maps = drawn(77, grid)
    maps = torch.cat([torch.zeros_like(maps[..., :1]), maps[..., 1:76], torch.zeros_like(maps[..., :1])], -1)
    words.add(0, maps / maps.sum(-1, keepdim=True), grid, SIZE, 0)
    found = words.of_sample(0)
    np.testing.assert_allclose(sum(word.map for word in found), np.ones(SIZE), atol=1e-5)
    assert len(found) == 100 and (found[80].map == 0).all()  # behind what the encoder reads


def test_a_word_has_tokens_of_every_tokenizer(tokenizer):
    both = [(tokenizer, 12), (new_t5_tokenizer(), 20)]
    of_t5 = tokens_of_each_word(PROMPT, both[1:])
    assert tokens_of_each_word(PROMPT, both) == [
        clip + [12 + token for token in t5] for clip, t5 in zip(TOKENS, of_t5, strict=True)
    ]
    assert tokens_of_each_word("", both) == []

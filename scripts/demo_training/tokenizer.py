"""A CLIP tokenizer whose merges make each word of a list one token."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from piebench_eval.demo.scene import BACKGROUND_COLORS, MATERIALS, OBJECT_COLORS, PATTERNS, SHAPES

WORLD_WORDS = (
    "a an and of on next to with tilted dot background drawing picture sketch",
    *(" ".join(words) for words in (SHAPES, OBJECT_COLORS, BACKGROUND_COLORS, MATERIALS, PATTERNS)),
)


def save_tokenizer(folder: Path, words: Iterable[str] = WORLD_WORDS) -> CLIPTokenizer:
    """Write the tokenizer's files; words that it was not made of become several tokens.

    Args:
        folder: where to.
        words: words to learn, or texts of several words.
    """
    symbols = sorted(ByteLevel.alphabet())
    merges = _learn_merges({word for text in words for word in text.split()})
    merged = [left + right for left, right in merges]
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *merged]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al., ACL 2016) until every word is one piece."""
    pieces = [[*word[:-1], f"{word[-1]}</w>"] for word in sorted(words)]
    merges = []
    while pairs := Counter(pair for word in pieces for pair in pairwise(word)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        pieces = [_merge(word, best) for word in pieces]
    return merges


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged

"""Whether a tokenizer is the one that a text encoder was trained with.

The libraries go on without a vocabulary: every letter is then the unknown token, and every prompt the same.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = "tokenizer_config.json"
TokenizerKind = Literal["CLIP", "T5"]

_ANY = (None, "PreTrainedTokenizerFast", "TokenizersBackend")
_CLASSES = {kind: (*_ANY, f"{kind}Tokenizer", f"{kind}TokenizerFast") for kind in ("CLIP", "T5")}
"""Names under which transformers saves a tokenizer of a kind."""

_RESTORE = "copy the tokenizer's files again from where the model comes from"


def check_vocabulary_files(
    option: str, name: str, folder: Path, embeddings: int | None, kind: TokenizerKind = "CLIP"
) -> None:
    """Refuse a folder whose tokenizer is not there or does not fit, before anything is loaded.

    Args:
        option: the option that names the model.
        name: its value.
        folder: where the tokenizer's files are.
        embeddings: tokens that the text encoder knows, if its configuration says.
        kind: whose tokenizer it has to be.

    Raises:
        PiebenchError: the vocabulary is missing, cannot be read, is of another kind of tokenizer, or has
            tokens that the text encoder does not know.
    """
    named = _read(folder / _CONFIG).get("tokenizer_class") if (folder / _CONFIG).is_file() else None
    if named not in _CLASSES[kind]:
        raise PiebenchError(f"{option} {name}: {folder / _CONFIG} names a {named}, not {kind}'s; {_RESTORE}")
    whole = folder / "tokenizer.json"
    parts = [folder / file for file in (("spiece.model",) if kind == "T5" else ("vocab.json", "merges.txt"))]
    if not whole.is_file() and (missing := [file.name for file in parts if not file.is_file()]):
        raise PiebenchError(
            f"{option} {name}: {folder} has no vocabulary: {' and '.join(missing)} missing, and no "
            f"tokenizer.json; {_RESTORE}"
        )
    if kind == "T5" and not whole.is_file():
        if find_spec("sentencepiece") is None:
            raise PiebenchError(
                f"{option} {name}: {folder} has spiece.model and no tokenizer.json; copy tokenizer.json from "
                "where the model comes from, or pip install sentencepiece"
            )
        return  # only sentencepiece reads it; check_tokenizer sees what is in it
    vocabulary = _of_whole(_read(whole)) if whole.is_file() else _read(parts[0])
    added = folder / "added_tokens.json"
    if added.is_file():
        vocabulary = {**vocabulary, **_read(added)}
    if embeddings is not None:
        _check_size(option, name, vocabulary, embeddings)


def check_tokenizer(
    option: str, name: str, tokenizer: Any, embeddings: int, *, read_at_end: bool = False
) -> None:
    """Refuse a loaded tokenizer that does not tell words apart, or does not fit its text encoder.

    Args:
        option: the option that names the model.
        name: its value.
        tokenizer: transformers' ``CLIPTokenizer`` or ``T5Tokenizer``.
        embeddings: tokens that the text encoder knows.
        read_at_end: whether a text's embedding is read at its largest token id, which has to be the end
            token's.

    Raises:
        PiebenchError: words become the unknown token, the special tokens are not where CLIP or T5 has them,
            or the sizes differ.
    """
    vocabulary = tokenizer.get_vocab()
    _check_size(option, name, vocabulary, embeddings)
    cat, dog = (tokenizer(word).input_ids for word in ("cat", "dog"))
    unknown, start = tokenizer.unk_token_id, tokenizer.bos_token_id  # T5 has no start token
    of_word = cat[:-1] if start is None else cat[1:-1]
    if cat == dog or unknown in of_word or not _knows_words(tokenizer, vocabulary):
        raise PiebenchError(
            f"{option} {name}: its tokenizer does not tell words apart ('cat' has the tokens "
            f"{tokenizer.convert_ids_to_tokens(cat)}): the vocabulary is missing or incomplete; {_RESTORE}"
        )
    if start not in (None, cat[0]) or cat[-1] != tokenizer.eos_token_id:
        raise PiebenchError(
            f"{option} {name}: its tokenizer does not set the start and the end token around a text; "
            f"{_RESTORE}"
        )
    behind = [token for token, number in vocabulary.items() if number > tokenizer.eos_token_id]
    if read_at_end and behind:
        raise PiebenchError(
            f"{option} {name}: its tokenizer has tokens behind the end token ({first_few(behind, 3)}), at "
            "which CLIP would read a text; take them out of the tokenizer"
        )


def _check_size(option: str, name: str, vocabulary: dict[str, Any], embeddings: int) -> None:
    unknown = [token for token, number in vocabulary.items() if int(number) >= embeddings]
    if unknown:
        raise PiebenchError(
            f"{option} {name}: its tokenizer has tokens that the text encoder, of {embeddings} tokens, does "
            f"not know: {first_few(unknown, 3)}; give the text encoder saved with them, or take them "
            "out of the tokenizer"
        )
    # A text encoder's table may be padded to a multiple of 64 or 128, never to the double.
    if 2 * len(vocabulary) < embeddings:
        raise PiebenchError(
            f"{option} {name}: its tokenizer has {len(vocabulary)} tokens and its text encoder {embeddings}: "
            f"they are not of one model; {_RESTORE}"
        )


def _knows_words(tokenizer: Any, vocabulary: dict[str, int]) -> bool:
    """Whether whole words of the vocabulary come out as one token, as they do where merges are known."""
    words = [token[:-4] for token in vocabulary if token.endswith("</w>") and len(token) > 5]
    plain = [word for word in words if word.isascii() and word.isalpha()][:20]
    return not plain or any(len(tokenizer(word).input_ids) == 3 for word in plain)


def _of_whole(content: dict[str, Any]) -> dict[str, Any]:
    """The vocabulary in a ``tokenizer.json``, added tokens included."""
    model, added = content.get("model"), content.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):  # sentencepiece's: pieces with their scores, in order
        vocabulary = {piece: place for place, (piece, _) in enumerate(vocabulary)}
    extra = {entry["content"]: entry["id"] for entry in added or () if {"content", "id"} <= set(entry)}
    return {**(vocabulary if isinstance(vocabulary, dict) else {}), **extra}


def _read(file: Path) -> dict[str, Any]:
    return read_json_object(file, set(), "restore the file")

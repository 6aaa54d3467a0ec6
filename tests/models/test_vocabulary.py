"""A tokenizer that does not fit its text encoder is refused, and its fallback not believed."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.metrics.networks.clip import load_clip
from piebench_eval.models.loading import load_model
from piebench_eval.models.location import check_model_location
from piebench_eval.models.vocabulary import check_tokenizer

CPU = torch.device("cpu")
VOCABULARY = ("vocab.json", "merges.txt", "tokenizer.json")


@pytest.fixture
def model_folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture
def clip(metric_networks, tmp_path):
    return shutil.copytree(metric_networks.clip, tmp_path / "clip")


def remove(folder, *names):
    for name in names:
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    "gone", [VOCABULARY, ("merges.txt", "tokenizer.json"), ("vocab.json", "tokenizer.json")]
)
def test_a_model_without_its_vocabulary(model_folder, gone):
    remove(model_folder / "tokenizer", *gone)
    for refuse in (check_model_location, load_model):
        with pytest.raises(PiebenchError, match=f"no vocabulary: {gone[0]}"):
            refuse(str(model_folder))


def test_a_tokenizer_of_another_kind(model_folder):
    config = model_folder / "tokenizer" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "tokenizer_class": "T5Tokenizer"}))
    with pytest.raises(PiebenchError, match="T5Tokenizer"):
        check_model_location(str(model_folder))


def test_an_added_token_without_embedding_is_named(model_folder):
    tokenizer = CLIPTokenizer.from_pretrained(model_folder / "tokenizer")
    tokenizer.add_tokens(["<my-cat>"])
    tokenizer.save_pretrained(model_folder / "tokenizer")
    for refuse in (check_model_location, load_model):
        with pytest.raises(PiebenchError, match="does not know: <my-cat>"):
            refuse(str(model_folder))


def test_a_tokenizer_of_another_model(model_folder, tokenizer):
    with pytest.raises(PiebenchError, match="not of one model"):
        check_tokenizer("--model", str(model_folder), tokenizer, 49408)


def test_a_length_that_the_text_encoder_does_not_read(model_folder):
    config = model_folder / "tokenizer" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": 512}))
    with pytest.raises(PiebenchError, match="model_max_length 512"):
        load_model(str(model_folder))


@pytest.mark.parametrize("file", ["merges.txt", "vocab.json"])
def test_an_empty_vocabulary_is_found_by_two_words(model_folder, file):
    """A loader takes both, and every letter becomes a token of its own or the unknown one."""
    remove(model_folder / "tokenizer", "tokenizer.json")
    ends = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    (model_folder / "tokenizer" / file).write_text(
        json.dumps(ends) if file == "vocab.json" else "#version: 0.2\n"
    )
    with pytest.raises(PiebenchError, match="tokenizer"):
        load_model(str(model_folder))


def test_a_clip_without_its_vocabulary(clip):
    remove(clip, *VOCABULARY)
    with pytest.raises(PiebenchError, match=r"--clip .*no vocabulary"):
        load_clip(str(clip), "quick_gelu", CPU)


def test_a_clip_with_tokens_behind_the_end_token(clip):
    """It reads a text at its largest token id."""
    tokenizer = CLIPTokenizer.from_pretrained(clip)
    tokenizer.add_tokens(["<my-cat>"])
    tokenizer.save_pretrained(clip)
    with pytest.raises(PiebenchError, match=r"behind the end token.*my-cat"):
        load_clip(str(clip), "quick_gelu", CPU)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_clip_that_takes_every_text_for_the_same(clip, value):
    tensors = load_file(clip / "model.safetensors")
    tensors["text_projection.weight"] = torch.full_like(tensors["text_projection.weight"], value)
    save_file(tensors, clip / "model.safetensors", {"format": "pt"})
    with pytest.raises(PiebenchError, match="no nearer to itself"):
        load_clip(str(clip), "quick_gelu", CPU)


@pytest.fixture(scope="module")
def open_clip_file(tmp_path_factory):
    """A small architecture by name in open_clip, and its weights in a file."""
    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / "small.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "small.json")
    torch.manual_seed(0)
    save_file(open_clip.CLIP(**config).state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def test_a_file_of_weights_does_not_say_its_activation(open_clip_file):
    with pytest.warns(PiebenchWarning, match=r"GELU is computed.*small-quickgelu/"):
        gelu = load_clip(f"open_clip:small/{open_clip_file}", "quick_gelu", CPU)
    quick = load_clip(f"open_clip:small-quickgelu/{open_clip_file}", "quick_gelu", CPU)
    with torch.inference_mode():
        assert not torch.equal(gelu.texts(["a cat"], True), quick.texts(["a cat"], True))

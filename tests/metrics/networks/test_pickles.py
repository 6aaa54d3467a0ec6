"""Networks come from safetensors, or the user has said that a pickle may be read: the model's own rule."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import load_file
from transformers import ViTModel

from piebench_eval.cli.app import app
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.networks.metric_networks import MetricNetworks
from piebench_eval.models.location import check_model_location

CPU = torch.device("cpu")
RULE = "; save them with safetensors, or pass --allow-pickle if you trust who made the file"


def pickled(file):
    """Put a pickle of the same weights in the place of a safetensors file."""
    other = {"model": "pytorch_model.bin", "open_clip_model": "open_clip_pytorch_model.bin"}
    place = file.with_name(other.get(file.stem, f"{file.stem}.pth"))
    torch.save(load_file(file), place)
    file.unlink()
    return place


@pytest.fixture
def networks(metric_networks, tmp_path):
    """The small networks, each in a pickle; and open_clip's, in a folder and as a file."""
    import open_clip

    for name in ("vit", "clip"):
        shutil.copytree(getattr(metric_networks, "dino" if name == "vit" else name), tmp_path / name)
        pickled(tmp_path / name / "model.safetensors")
    shutil.copy(metric_networks.lpips_weights, tmp_path)
    squeezenet = pickled(tmp_path / "squeezenet.safetensors")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    folder = tmp_path / "open_clip"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.save(open_clip.CLIP(**config).state_dict(), folder / "open_clip_pytorch_model.bin")
    return {
        "dino": str(tmp_path / "vit"),
        "clip": str(tmp_path / "clip"),
        "lpips_weights": str(squeezenet),
        "open_clip": f"open_clip:local-dir:{folder}",
        "open_clip file": f"open_clip:ViT-B-32/{folder}/open_clip_pytorch_model.bin",
    }


@pytest.mark.parametrize("network", ["dino", "clip", "lpips_weights", "open_clip", "open_clip file"])
def test_a_pickle_needs_consent(networks, network):
    role = "clip" if network.startswith("open_clip") else network
    models = MetricModels(**{role: networks[network]})
    with pytest.raises(PiebenchError) as caught:
        MetricNetworks(models, CPU).load([role])
    message = str(caught.value)
    assert message.startswith(f"--{role.replace('_', '-')} {networks[network]}: ") and message.endswith(RULE)
    if network != "open_clip file":  # ViT-B/32 does not fit that file
        MetricNetworks(models, CPU, allow_pickle=True).load([role])


def test_the_model_is_refused_in_the_same_words(tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    next((model / "unet").glob("*.safetensors")).rename(model / "unet" / "model.bin")
    with pytest.raises(PiebenchError) as caught:
        check_model_location(str(model))
    assert str(caught.value) == f"--model {model}: unet/ holds no safetensors weights{RULE}"


def test_open_clip_is_held_to_the_file_that_it_reads(networks, tmp_path):
    """It prefers a pickle of the usual name to safetensors of another."""
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "open_clip" / "other.safetensors")
    with pytest.raises(PiebenchError, match="--allow-pickle"):
        MetricNetworks(MetricModels(clip=networks["open_clip"]), CPU).load(["clip"])


@pytest.mark.parametrize(("allowed", "asked"), [(False, True), (True, None)])
def test_of_a_hub_id_safetensors_alone_are_asked_for(monkeypatch, allowed, asked):
    seen = {}

    def from_pretrained(name, **options):
        seen.update(options)
        raise OSError("there is no such file")

    monkeypatch.setattr("piebench_eval.models.hf_loading.require_hub", lambda *names: None)
    monkeypatch.setattr(ViTModel, "from_pretrained", from_pretrained)
    with pytest.raises(PiebenchError, match=r"--allow-pickle if it has no safetensors"):
        MetricNetworks(MetricModels(), CPU, allow_pickle=allowed).load(["dino"])
    assert seen["use_safetensors"] is asked


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def torchvisions(folder, monkeypatch, content):
    """What torchvision has downloaded as SqueezeNet's weights."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    file = folder / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    file.parent.mkdir(parents=True)
    torch.save(content, file)


def test_torchvisions_weights_are_read_as_tensors_alone(tmp_path, monkeypatch):
    torchvisions(tmp_path, monkeypatch, {"features.0.weight": Trap(tmp_path / "sprung")})
    with pytest.raises(PiebenchError, match="--lpips-weights squeezenet"):
        MetricNetworks(MetricModels(), CPU).load(["lpips_weights"])
    assert not (tmp_path / "sprung").exists()


def test_torchvisions_weights_need_no_consent(metric_networks, tmp_path, monkeypatch):
    features = load_file(metric_networks.lpips_weights)
    state = {f"features.{name}": value for name, value in features.items()}
    torchvisions(tmp_path, monkeypatch, {**state, "classifier.1.bias": torch.zeros(1000)})
    networks = [
        MetricNetworks(models, CPU).lpips("lpips_weights")._network.net.state_dict()
        for models in (MetricModels(), metric_networks)
    ]
    assert all(torch.equal(networks[0][name], value) for name, value in networks[1].items())


def test_wherever_networks_are_named_pickles_can_be_allowed():
    group = typer.main.get_command(app)
    naming = set()
    for name, command in group.commands.items():
        if name == "leaderboard":  # its --model leaves rows of published tables
            continue
        options = {option for parameter in command.params for option in parameter.opts}
        if options & {"--clip", "--dino", "--lpips-weights", "--model"}:
            naming.add(name)
            assert "--allow-pickle" in options, name
    assert naming == {"run", "score", "sweep", "explain", "verify", "studio"}


def test_a_command_refuses_and_allows(networks, photo_bench, tmp_path):
    from typer.testing import CliRunner

    edits = shutil.copytree(photo_bench / "annotation_images", tmp_path / "edits")
    command = ["score", "--images", str(edits), "--data", str(photo_bench), "--name", "mine"]
    command += ["--out", str(tmp_path / "mine.csv"), "--metrics", "dino_similarity", "--device", "cpu"]
    command += ["--dino", networks["dino"]]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2 and "--allow-pickle" in refused.output
    allowed = CliRunner().invoke(app, [*command, "--allow-pickle"])
    assert allowed.exit_code == 0 and Path(tmp_path / "mine.csv").is_file(), allowed.output

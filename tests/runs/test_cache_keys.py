"""Shared work is found again only by what would compute the same digits."""

import pytest
import torch

import piebench_eval as pb
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models import compile as compiled
from piebench_eval.recipes.plugins import code_of, load_plugins
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store import manifest
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.session_log import read_sessions
from tests.support.runs import digests, run

PLUGIN = """
import torch

from piebench_eval.diffusion.loop import InversionResult
from piebench_eval.inversions.base import Inversion
from piebench_eval.settings import Settings


class NoSettings(Settings):
    pass


def invert(model, inputs, schedule, settings):
    def scale():
        return {{"latents": torch.stack([inputs.latents * {factor}] * (schedule.steps + 1))}}

    found = model.cached("scaled", scale, {{}}, [inputs.latents], axis=1)
    return InversionResult(found["latents"], "fixed")


INVERSIONS = {{"scaled": Inversion("Scaled", "me", "", NoSettings, invert)}}
"""


@pytest.fixture(autouse=True)
def forget_plugins(monkeypatch):
    monkeypatch.setattr(INVERSIONS, "_plugins", {})


def fields(tiny_model, **more):
    return {"model": str(tiny_model), "inversions": ["ddim"], "methods": ["p2p"], "steps": 2, **more}


def reused(folder):
    return {record["unet_rows_reused"] for record in RunStore.read(folder).records().values()}


def test_a_changed_plugin_makes_its_pictures_anew(tiny_model, photo_bench, tmp_path):
    def edited(factor, name, **workers):
        plugin = tmp_path / "plugin.py"
        plugin.write_text(PLUGIN.format(factor=factor))
        fields_ = fields(tiny_model, inversions=["scaled"], plugins=[str(plugin)])
        recipe = build_recipe(fields_, {}, "test")
        run(recipe, photo_bench, tmp_path / name, Selection(limit=1), **workers)
        return digests(tmp_path / name)

    cache = tmp_path / "cache"
    one = edited(1.5, "one", cache=cache)
    other = edited(0.5, "other", cache=cache)
    assert one != other == edited(0.5, "uncached")


def test_a_changed_plugin_edits_a_picture_anew(tmp_path, photo_bench):
    """``pb.edit`` remembers what it inverted of the last picture."""
    picture = next((photo_bench / "annotation_images").rglob("*.png"))
    plugin, recipe = tmp_path / "plugin.py", tmp_path / "recipe.yaml"
    recipe.write_text(f"plugins: [{plugin}]\nsteps: 2\n")

    def edited(factor):
        plugin.write_text(PLUGIN.format(factor=factor))
        image = pb.edit(
            picture, "a cat", "a dog", inversion="scaled", model="demo", config=recipe, device="cpu"
        )
        return image.tobytes()

    assert edited(1.5) != edited(0.5)
    assert edited(1.5) == edited(1.5)


def test_compiled_blocks_share_nothing_with_others(tiny_model, photo_bench, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "compile_blocks", lambda unet: None)  # what it makes takes long
    recipe = build_recipe(fields(tiny_model), {}, "test")
    for name, options in (("plain", {}), ("compiled", {"compile": True}), ("again", {})):
        run(recipe, photo_bench, tmp_path / name, Selection(limit=1), cache=tmp_path / "cache", **options)
    assert reused(tmp_path / "plain") == reused(tmp_path / "compiled") == {0}
    assert min(reused(tmp_path / "again")) > 0


def test_deterministic_layers_share_nothing_with_others(tiny_model, photo_bench, tmp_path):
    recipe = build_recipe(fields(tiny_model), {}, "test")
    for name, options in (("plain", {}), ("deterministic", {"deterministic": True}), ("again", {})):
        run(recipe, photo_bench, tmp_path / name, Selection(limit=1), cache=tmp_path / "cache", **options)
    assert reused(tmp_path / "plain") == reused(tmp_path / "deterministic") == {0}
    assert min(reused(tmp_path / "again")) > 0
    (session,) = read_sessions(tmp_path / "deterministic")
    assert [worker["deterministic"] for worker in session["workers"].values()] == [True]


def test_another_processor_shares_nothing(tiny_model, photo_bench, tmp_path, monkeypatch):
    recipe = build_recipe(fields(tiny_model), {}, "test")
    run(recipe, photo_bench, tmp_path / "here", Selection(limit=1), cache=tmp_path / "cache")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "wider")
    run(recipe, photo_bench, tmp_path / "there", Selection(limit=1), cache=tmp_path / "cache")
    assert reused(tmp_path / "there") == {0}
    assert "wider" in manifest.processor_name(torch.device("cpu"))


def test_code_is_told_by_the_file_that_was_run_and_the_file_of_the_function(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_of_a_plugin.py").write_text(PLUGIN.format(factor=1.5))
    plugin = tmp_path / "plugin.py"
    plugin.write_text("from helper_of_a_plugin import INVERSIONS\n")
    load_plugins([str(plugin)])
    (one,) = code_of(["scaled", "ddim"], ["p2p"]).values()
    plugin.write_text("from helper_of_a_plugin import INVERSIONS  # edited, and not loaded again\n")
    assert [one] == list(code_of(["scaled"], []).values())
    (tmp_path / "helper_of_a_plugin.py").write_text(PLUGIN.format(factor=0.5))
    load_plugins([str(plugin)])
    (other,) = code_of(["scaled"], []).values()
    assert other.split()[0] != one.split()[0] and other.split()[1] != one.split()[1]

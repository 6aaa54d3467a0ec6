"""Editors in recipes: beside inversions and methods, or in their place."""

import json

import pytest

from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import Editor
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.recipes.stored_recipe import StoredRecipe
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.settings import Settings
from tests.support.commands import piebench
from tests.support.recipes import shipped

ALONE = {"model": "a/b", "editors": ["sdedit"]}
BESIDE = {**ALONE, "inversions": ["ddim"], "methods": ["p2p"]}


def build(fields, overrides=None):
    return build_recipe(fields, overrides or {}, "test")


def test_recipes_without_editors_are_stored_and_hashed_as_before():
    for name, known in {"paper": "e858eff553c9", "table1": None}.items():
        stored = shipped(name).stored
        assert "editors" not in stored.fields
        assert known is None or stored.hash.startswith(known)


@pytest.mark.parametrize("fields", [ALONE, BESIDE, {**BESIDE, "editors": {"sdedit": {"strength": 0.5}}}])
def test_a_stored_recipe_says_the_same(fields, tmp_path):
    recipe = build(fields)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    stored = StoredRecipe.read(tmp_path / "recipe.yaml")
    assert stored.hash == recipe.hash and stored.pairs == recipe.pairs
    for pair in recipe.pairs:
        flat = recipe.combination(*pair).flat()
        assert stored.settings(*pair) == flat and ("editor.strength" in flat) == (pair[0] == "")


def test_an_editor_is_a_combination_without_an_inversion():
    recipe = build(BESIDE)
    assert recipe.pairs == [("ddim", "p2p"), ("", "sdedit")]
    assert [recipe.combination(*pair).name for pair in recipe.pairs] == ["ddim+p2p", "sdedit"]


def test_an_editor_overrides_like_a_combination():
    recipe = build({**BESIDE, "combinations": {"sdedit": {"steps": 20, "editor": {"strength": 0.5}}}})
    assert recipe.pairs == [("ddim", "p2p"), ("", "sdedit")]  # the others are all there
    combination = recipe.combination("", "sdedit")
    assert combination.common.steps == 20 and combination.editor_settings.strength == 0.5
    assert recipe.combination("ddim", "p2p").common.steps == 50
    again = build(dict(recipe), {"editor.strength": 0.25})
    assert again.combination("", "sdedit").editor_settings.strength == 0.25


@pytest.mark.parametrize("name", ["oracle", "source-copy", "direct+mine", "mine/too"])
def test_a_name_that_rows_need_is_no_editors(name, monkeypatch):
    monkeypatch.setattr(EDITORS, "_plugins", {})
    with pytest.raises(PiebenchError, match=r"plugin ours\.py: editor '.*; choose another name"):
        EDITORS.add(name, EDITORS.get("sdedit"), "plugin ours.py")
    assert name not in EDITORS.names()


def test_wildcards_and_editors_go_together():
    recipe = build({**BESIDE, "combinations": {"ddim+*": {"guidance": 3}, "sdedit": {"guidance": 5}}})
    assert [recipe.combination(*pair).common.guidance for pair in recipe.pairs] == [3, 5]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"model": "a/b"}, "inversions and methods, or editors"),
        ({**ALONE, "inversions": ["ddim"]}, "methods"),
        ({**ALONE, "editors": ["sdedti"]}, "is sdedit meant"),
        ({**ALONE, "editors": {"sdedit": {"strength": 2}}}, "strength"),
        ({**ALONE, "combinations": {"ddim+p2p": {}}}, "no INVERSION.METHOD and no editor"),
    ],
)
def test_what_is_refused(fields, problem):
    with pytest.raises(PiebenchError, match=problem):
        build(fields)


LISTED = {
    **BESIDE,
    "inversions": ["ddim", "direct"],
    "combinations": {"direct+p2p": {}, "sdedit": {"steps": 9}},
}


@pytest.mark.parametrize(
    ("chosen", "pairs"),
    [
        ({}, ["direct+p2p", "sdedit"]),
        ({"editors": ["sdedit"]}, ["sdedit"]),
        ({"inversions": ["direct"]}, ["direct+p2p"]),
        ({"inversions": ["direct"], "editors": ["sdedit"]}, ["direct+p2p", "sdedit"]),
    ],
)
def test_what_is_chosen_by_name(chosen, pairs):
    asked = {"inversions": None, "methods": None, "editors": None, **chosen}
    recipe = build(select_combinations(LISTED, source="test", **asked))
    assert [recipe.combination(*pair).name for pair in recipe.pairs] == pairs
    if "sdedit" in pairs:
        assert recipe.combination("", "sdedit").common.steps == 9


def test_an_editor_alone_needs_no_inversion_and_no_method():
    recipe, _ = RunConfig(data="demo", settings={"model": "demo"}, editors=["sdedit"]).build()
    assert recipe.pairs == [("", "sdedit")]
    of_demo, _ = RunConfig(editors=["sdedit"]).build()  # the demo's recipe with its steps
    assert of_demo.pairs == [("", "sdedit")] and of_demo.steps < 50


@pytest.mark.parametrize(
    ("chosen", "missing"), [({"methods": ["p2p"]}, "--inversion"), ({"inversions": ["ddim"]}, "--method")]
)
def test_a_method_beside_an_editor_is_not_left_out_in_silence(chosen, missing):
    with pytest.raises(PiebenchError, match=f"say which with {missing}"):
        RunConfig(settings={"model": "m"}, editors=["sdedit"], data="x", **chosen).build()


def test_no_step_is_refused_before_anything_is_loaded(tmp_path):
    done = piebench(
        "run", "--editor", "sdedit", "--model", "demo", "--data", "demo", "--steps", 4, "--set",
        "editor.strength=0.2", "--out", tmp_path / "run", "--dry-run",
    )  # fmt: skip
    assert done.returncode == 2 and "at least 0.25" in done.stderr and "Traceback" not in done.stderr


def test_an_editor_has_one_function():
    with pytest.raises(TypeError, match="one of edit and edit_latents"):
        Editor(title="x", paper="y", prompted_by="both", masks="none", settings=Settings)


def test_methods_lists_editors():
    listed = json.loads(piebench("methods", "--json").stdout)
    about = listed["editor"]["sdedit"]
    assert about["prompted_by"] == "target prompt" and about["masks"] == "none"
    assert about["settings"]["strength"]["default"] == 0.75
    assert all(family["editor"]["sdedit"] is None for family in listed["family"].values())
    assert "prompted by: target prompt; masks used: none" in piebench("methods").stdout

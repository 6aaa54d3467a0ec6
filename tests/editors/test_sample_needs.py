"""Samples that lack what an editor needs are refused when a run is planned, in one line."""

import json
import shutil
from dataclasses import replace

import pytest

from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.editors.described import described_editors
from piebench_eval.errors import DataError
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.jobs import check_edits
from tests.support.runs import run


def unreachable(*_):
    raise AssertionError("nothing is loaded or edited before the samples are checked")


@pytest.fixture
def recipe_of(monkeypatch):
    """A recipe of two editors that declare the same."""

    def build(declared, overrides=None, **functions):
        editor = Editor(
            title="t", paper="p", needs_model=False, **{"edit": unreachable, **functions}, **declared
        )
        for name in ("ours", "theirs"):
            monkeypatch.setitem(EDITORS._plugins, name, (editor, "plugin ours.py"))
        return build_recipe({"model": "none", "editors": ["ours", "theirs"]}, overrides or {}, "test")

    return build


INSTRUCTED = {"prompted_by": "instruction", "masks": "none"}
MASKED = {"prompted_by": "target prompt", "masks": "benchmark"}


def problems(recipe, samples):
    with pytest.raises(DataError) as raised:
        check_edits(recipe, samples)
    return raised.value.problems


def test_samples_without_an_instruction_are_counted_in_one_line(recipe_of, samples):
    told = [samples[0], *(replace(sample, instruction=" ") for sample in samples[1:])]
    (line,) = problems(recipe_of(INSTRUCTED), told)
    assert line.startswith(
        f"ours, theirs: 3 of 4 samples have no instruction (for example id {samples[1].id});"
    )
    assert "--prompt-from target" in line and "PIE-Bench++ does not" in line and "--ids" in line
    (line,) = problems(recipe_of({**INSTRUCTED, "prompted_by": "both"}), told[:2])
    assert f"1 of 2 samples has no instruction (id {samples[1].id})" in line
    check_edits(recipe_of(INSTRUCTED), samples)
    check_edits(recipe_of({**INSTRUCTED, "prompted_by": "target prompt"}), told)


def test_the_target_prompt_needs_no_instruction(recipe_of, samples):
    told = [replace(sample, instruction="") for sample in samples]
    recipe = recipe_of(INSTRUCTED, {"prompt_from": "target"})
    check_edits(recipe, told)
    ours = recipe.combination("", "ours")
    assert (
        described_editors({"ours": (ours.editor_settings, ours.common)})["ours"]["prompted_by"]
        == "target prompt"
    )


def test_a_mask_of_the_whole_picture_is_one_and_an_empty_mask_is_none(recipe_of, samples):
    assert [len(sample.mask_rle) for sample in samples[2:]] == [0, 2]  # nothing, and everything
    (line,) = problems(recipe_of(MASKED), samples)
    assert line.startswith(f"ours, theirs: 1 of 4 samples has no mask (id {samples[2].id})")
    check_edits(recipe_of(MASKED), [samples[3]])
    outside = replace(samples[3], mask_rle=(128 * 128, 5))
    assert len(problems(recipe_of(MASKED), [outside])) == 1


def test_a_run_is_refused_before_anything_is_loaded(recipe_of, photo_bench, tmp_path):
    data = shutil.copytree(photo_bench, tmp_path / "bench")
    mapping = json.loads((data / "mapping_file.json").read_text())
    for annotation in mapping.values():
        del annotation["editing_instruction"]
    (data / "mapping_file.json").write_text(json.dumps(mapping))
    with pytest.raises(DataError, match="4 of 4 samples have no instruction"):
        run(recipe_of(INSTRUCTED, load=unreachable), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    kept = recipe_of(
        INSTRUCTED, {"prompt_from": "target"}, edit=lambda loaded, pictures, *_: EditedPictures(pictures)
    )
    assert run(kept, data, tmp_path / "run").made == 8
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["editors"]["ours"] == {"prompted_by": "target prompt", "masks": "none"}

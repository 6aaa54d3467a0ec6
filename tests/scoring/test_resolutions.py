"""Edits that are larger than the benchmark's pictures: saved in their size, or scored as they were made."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import piebench_eval as pb
from piebench_eval.cli.table import TableFormat, print_table
from piebench_eval.data.images import load_image, resample
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.gate.conditions import differences
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.plan import Selection
from piebench_eval.tables.paper.compare import comparison_obstacles
from tests.support.fake_runner import FakeRunner
from tests.support.runs import run

SIDE = 128
"""Of the benchmark's pictures."""

LARGER = 192
COLUMNS = ["resolution", "image_loader", "output_resolution"]
SAVED = f"edits were made at {LARGER} pixels (image_loader=resize), and resized to {SIDE} (output_resolution)"
AS_MADE = (
    f"sources of {SIDE} pixels were brought to the {LARGER} pixels of their edits by image_loader=resize"
)


class DarkeningRunner(FakeRunner):
    """Edits are the loaded sources at half of their grey levels."""

    def edit(self, combination, samples):
        common = combination.common
        size = (common.output_resolution or common.resolution,) * 2
        return [
            replace(
                edit,
                image=resample(
                    load_image(edit.sample.file, common.resolution, common.image_loader) // 2, size
                ),
            )
            for edit in super().edit(combination, samples)
        ]


def make(folder, data, **settings):
    fields = {"model": "x", "inversions": ["direct"], "methods": ["p2p"], "resolution": LARGER, **settings}
    recipe = build_recipe({"image_loader": "resize", **fields}, {}, "test")
    run(recipe, data, folder, Selection(limit=2), make_runner=lambda spec, recipe: DarkeningRunner())
    return folder


@pytest.fixture(scope="module")
def saved(tiny_model, photo_bench, tmp_path_factory):
    return make(
        tmp_path_factory.mktemp("runs") / "saved", photo_bench, model=str(tiny_model), output_resolution=SIDE
    )


@pytest.fixture(scope="module")
def as_made(tiny_model, photo_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "as_made"
    with pytest.warns(
        PiebenchWarning, match=f"have {SIDE} pixels.* scored at {LARGER}.*output_resolution={SIDE} "
    ):
        return make(folder, photo_bench, model=str(tiny_model))


score = partial(pb.score, metrics=["mse"], progress=False)


def mean_squared_error(edited, source):
    return np.mean((edited / 255.0 - source / 255.0) ** 2)


@pytest.mark.parametrize(("which", "side"), [("saved", SIDE), ("as_made", LARGER)])
def test_an_edit_is_scored_against_its_source_in_the_size_that_it_is_saved_in(which, side, samples, request):
    folder = request.getfixturevalue(which)
    scores = score(folder).set_index("id")["mse"]
    for sample in samples:
        if sample.id in scores.index:
            edited = Image.open(folder / "images/direct+p2p" / sample.image_path)
            assert edited.size == (side, side)
            expected = mean_squared_error(np.asarray(edited), load_image(sample.file, side, "resize"))
            assert scores[sample.id] == pytest.approx(expected, rel=1e-5)


def test_what_a_score_rests_on_says_all_three_resolutions(saved, as_made):
    for folder, made, kept in ((saved, LARGER, SIDE), (as_made, LARGER, LARGER)):
        score(folder)
        (settings,) = json.loads((folder / "scores.json").read_text())["combinations"].values()
        assert settings["output_resolution"] == (SIDE if folder == saved else None)
        names = ("working_resolution", "saved_resolution", "source_resolution")
        assert [settings[name] for name in names] == [made, kept, SIDE]


@pytest.mark.parametrize("view", [{}, {"by_type": True}, {"intervals": True}, {"compare_paper": True}])
@pytest.mark.parametrize("output", [TableFormat.csv, TableFormat.json])
def test_every_row_for_programs_says_how_its_edits_got_in_and_out(saved, capsys, view, output):
    pb.score(saved, metrics="mse_unedit_part", progress=False)
    print_table(saved, output=output, **view)
    text = capsys.readouterr().out
    if output is TableFormat.json:
        rows = json.loads(text)["rows"]
        assert all([row[column] for column in COLUMNS] == [LARGER, "resize", SIDE] for row in rows)
    else:
        header, *lines = text.splitlines()
        assert header.endswith(",".join(["", *COLUMNS]))
        assert lines and all(line.endswith(f",{LARGER},resize,{SIDE}") for line in lines)


def test_readers_are_told_below_the_table(saved, as_made, capsys):
    for folder, said, unsaid in ((saved, SAVED, AS_MADE), (as_made, AS_MADE, SAVED)):
        score(folder)
        print_table(folder, output=TableFormat.markdown)
        text = capsys.readouterr().out
        assert said in text and unsaid not in text and "output_resolution |" not in text
        assert pd.read_csv(folder / "table.csv")[COLUMNS].notna().all(axis=None)
    assert f"output_resolution={SIDE} saves edits in their size" in text


def test_in_one_table_each_row_has_its_own(saved, as_made, samples, photo_bench, tmp_path):
    for sample in samples[:2]:
        Image.fromarray(load_image(sample.file) // 3).save(tmp_path / f"{sample.id}.png")
    mine = {"images": tmp_path, "data": photo_bench, "name": "mine", "out": tmp_path / "mine.csv"}
    for scored in ({"run": saved}, {"run": as_made}, {**mine, "allow_missing": True}):
        score(**scored)
    table = pb.table([saved, as_made, mine["out"]])
    found = {
        row["run"] or row["method"]: [row[column] for column in COLUMNS] for row in table.to_dict("records")
    }
    assert found == {
        "saved": [LARGER, "resize", SIDE],
        "as_made": [LARGER, "resize", LARGER],
        "mine": [None, None, None],
    }
    remarks = table.attrs["remarks"]
    assert any(line.startswith(f"saved/direct+p2p: {SAVED}") for line in remarks)
    assert any(line.startswith(f"as_made/direct+p2p: {AS_MADE}") for line in remarks)


def test_a_run_of_before_there_was_a_way_out_has_the_table_that_it_had(as_made, capsys):
    score(as_made)
    print_table(as_made, output=TableFormat.csv)
    now = capsys.readouterr()
    recipe = as_made / "recipe.yaml"
    fields = yaml.safe_load(recipe.read_text())
    assert fields.pop("output_resolution", "absent") is None
    kept = recipe.read_bytes()
    try:
        recipe.write_text(yaml.safe_dump(fields, sort_keys=False))
        score(as_made)
        print_table(as_made, output=TableFormat.csv)
        before = capsys.readouterr()
        assert AS_MADE in " ".join(now.err.split()) and "pixels" not in before.err
        assert [line.rsplit(",", 3)[0] for line in now.out.splitlines()] == before.out.splitlines()
    finally:
        recipe.write_bytes(kept)


def test_an_absent_output_resolution_is_compared_as_an_empty_one():
    def conditions(**settings):
        recipe = {"combinations": {"direct+p2p": {"model": "m", **settings}}}
        return {
            "recipe": recipe,
            "models": {},
            "networks": {},
            "protocol": {"rules": {}},
            "precision": None,
            "samples": {"ids": [], "fingerprint": None},
        }

    before, empty, given = conditions(), conditions(output_resolution=None), conditions(output_resolution=512)
    assert differences(before, empty) == []
    assert differences(before, given) == ["direct+p2p.output_resolution: None -> 512"]
    assert not any("output_resolution" in line for line in comparison_obstacles("direct", "p2p", 700, {}))


def test_a_larger_edit_of_a_folder_is_refused_with_the_ways_out(samples, photo_bench, tmp_path):
    for sample in samples:
        Image.fromarray(load_image(sample.file, LARGER)).save(tmp_path / f"{sample.id}.png")
    options = {"images": tmp_path, "data": photo_bench, "name": "mine", "out": tmp_path / "mine.csv"}
    with pytest.raises(PiebenchError, match=rf"is {LARGER}x{LARGER}.*output_resolution={SIDE}.*--resize"):
        score(**options)
    assert len(score(**options, resize=True).attrs["about"]["resized"]) == len(samples)

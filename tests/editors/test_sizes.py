"""An editor with a size of its own, from run to table: saved as made, or brought back by a filter."""

import pytest
from PIL import Image

import piebench_eval as pb
from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.report.provenance import run_provenance
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.folder import RunStore
from tests.support.runs import run

SIDE, OWN = 128, 192
"""Of the benchmark's pictures, and of the editor."""


@pytest.fixture
def build(monkeypatch):
    """A recipe of two editors, of which one doubles what it is given."""
    plain = {
        "title": "t",
        "paper": "p",
        "prompted_by": "target prompt",
        "masks": "none",
        "needs_model": False,
    }
    editors = {
        "own": Editor(
            **plain,
            load=lambda *_: OWN,
            native_resolution=lambda loaded, common: loaded,
            edit=lambda loaded, pictures, *_: EditedPictures([picture // 2 for picture in pictures]),
        ),
        "doubled": Editor(
            **plain,
            keeps_size=False,
            edit=lambda loaded, pictures, *_: EditedPictures(
                [picture.repeat(2, axis=0).repeat(2, axis=1) for picture in pictures]
            ),
        ),
    }
    for name, editor in editors.items():
        monkeypatch.setitem(EDITORS._plugins, name, (editor, "plugin ours.py"))

    def build(*names, **fields):
        return build_recipe({"model": "none", "editors": list(names), **fields}, {}, "test")

    return build


def sides(run_folder):
    return {
        folder.name: Image.open(next(folder.rglob("*.png"))).size[0]
        for folder in (run_folder / "images").iterdir()
    }


def test_larger_edits_are_saved_as_made_and_announced_once(build, photo_bench, tmp_path):
    summary = run(build("own", "doubled"), photo_bench, tmp_path / "run", Selection(limit=2))
    assert sides(tmp_path / "run") == {"own": OWN, "doubled": 2 * SIDE}
    assert [
        f"scored at {side};" in text for side, text in zip((OWN, 2 * SIDE), summary.warnings, strict=True)
    ]
    assert all(f"--set output_resolution={SIDE} saves" in text for text in summary.warnings)


def test_edits_come_back_by_the_filter_of_the_recipe_and_tables_say_so(build, photo_bench, tmp_path):
    way_out = {"output_resolution": SIDE, "output_filter": "box"}
    summary = run(build("own", **way_out), photo_bench, tmp_path / "run", Selection(limit=1))
    assert sides(tmp_path / "run") == {"own": SIDE} and not summary.warnings
    scores = pb.score(tmp_path / "run", metrics=["mse"], progress=False)
    table = pb.table(tmp_path / "run")
    (row,) = table.to_dict("records")
    found = [row[name] for name in ("resolution", "image_loader", "output_resolution", "output_filter")]
    assert found == [OWN, "crop", SIDE, "box"]
    assert any(
        f"resized to {SIDE} (output_resolution) by PIL's box filter" in line
        for line in table.attrs["remarks"]
    )
    store = RunStore.read(tmp_path / "run")
    facts = run_provenance(store, store.records(), scores.attrs["about"]).facts
    assert (facts["resolution"], facts["output resolution"], facts["output filter"]) == (
        str(OWN),
        str(SIDE),
        "box",
    )


@pytest.mark.parametrize("name", ["resolution", "output_resolution"])
def test_a_size_beside_a_loader_that_keeps_sizes_is_refused(build, name):
    recipe = build("own", image_loader="crop_to_multiple", **{name: 64})
    with pytest.raises(PiebenchError, match=f"own: {name}=64 has no effect"):
        require_compatible([recipe.combination("", "own")])

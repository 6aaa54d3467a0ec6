"""What each row of a table rests on, and that a table of unlike rows says so."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import piebench_eval as pb
from piebench_eval.data.images import load_image
from piebench_eval.errors import PiebenchError
from piebench_eval.tables.comparability import comparability_remarks, with_comparability
from piebench_eval.tables.provenance import provenance_of_rows, with_provenance

FACTS = ["images", "background_images", "masks", "prompted_by", "base_model", "steps", "evaluations"]
FACTS += ["edited_at", "scored_at", "protocol"]


def scores(*names, columns=("psnr_unedit_part",), values=(1.0, np.nan), types=("0", "9")):
    rows = [
        {"id": str(number), **name, "type": type_id, **dict.fromkeys(columns, value)}
        for name in names
        for number, (value, type_id) in enumerate(zip(values, types, strict=True))
    ]
    return pd.DataFrame(rows)


def pair(inversion, method):
    return {"inversion": inversion, "method": method}


SETTINGS = {"model": "a/b", "steps": 50, "working_resolution": 1024, "saved_resolution": 512}
RUN = {
    "combinations": {
        "direct+p2p": SETTINGS,
        "sdedit": {**SETTINGS, "masks": "benchmark", "prompted_by": "both"},
    },
    "rows": {
        "direct+p2p": {
            "prompted_by": "target prompt", "masks": "none", "base_model": "a/b", "steps": 50,
            "evaluations": 200, "edited_at": 1024, "scored_at": 512,
        },
        "sdedit": {
            "prompted_by": "both", "masks": "benchmark", "base_model": "a/b", "steps": 50,
            "evaluations": 100.5, "edited_at": 1024, "scored_at": 512,
        },
    },
}  # fmt: skip
MINE = {"rows": {"mine": {"masks": "none"}}}
ROWS = scores(pair("direct", "p2p"), pair("", "sdedit"), pair("", "oracle"))


def table_of(rows, provenance):
    labels = rows.drop(columns=["id", "psnr_unedit_part", "type"], errors="ignore").drop_duplicates()
    return with_comparability(labels, rows, provenance)


def test_every_row_of_a_run_says_what_it_rests_on():
    found = table_of(ROWS, RUN)
    assert list(found.columns) == ["inversion", "method", *FACTS]
    assert found[FACTS].to_numpy(dtype=object).tolist() == [
        [2, 1, "none", "target prompt", "a/b", 50, 200, 1024, 512, "paper"],
        [2, 1, "benchmark", "both", "a/b", 50, 100.5, 1024, 512, "paper"],
        [2, 1, "", "", "", None, None, None, None, "paper"],
    ]


def test_scores_of_an_earlier_version_say_what_their_settings_say():
    before = {"combinations": RUN["combinations"]}
    now, then = (table_of(ROWS, about)[FACTS].to_dict("records") for about in (RUN, before))
    assert then == [{**row, "evaluations": None} for row in now]
    with_others = pd.concat([ROWS, scores(pair("", "mine"))])
    assert table_of(with_others, before)["masks"].tolist()[-1] == "not declared"
    unknown = table_of(scores({"name": "mine"}), {})
    assert list(unknown.columns) == ["name"], "of scores that say nothing, nothing is said"
    assert comparability_remarks(with_others, before) == []


def test_images_are_counted_by_type_where_the_table_is():
    table = pd.DataFrame([{"name": "mine", "type": label} for label in ("0 random", "9 change style")])
    found = with_comparability(table, scores({"name": "mine"}), MINE)
    assert found[["images", "background_images"]].to_numpy().tolist() == [[1, 1], [1, 0]]


def test_without_a_background_metric_nobody_knows_how_many_have_a_background():
    rows = scores({"name": "mine"}, columns=["clip_similarity_target_image"])
    assert with_comparability(rows[["name"]].drop_duplicates(), rows, MINE)["background_images"].tolist() == [
        None
    ]


def test_an_identical_picture_has_a_background():
    rows = scores({"name": "mine"}, values=(np.inf, np.nan))
    assert table_of(rows, MINE)["background_images"].tolist() == [1]


def test_a_table_of_unlike_rows_says_so():
    (differing, shared) = comparability_remarks(ROWS, RUN)
    assert differing == (
        "rows differ in what they rest on, so compare them with care: masks used: none (direct+p2p), "
        "benchmark (sdedit); prompted by: target prompt (direct+p2p), both (sdedit)"
    )
    assert shared == "every row: model: a/b; steps: 50; edited at (px): 1024; scored at (px): 512"


def test_rows_that_are_alike_differ_in_nothing():
    alike = scores(pair("direct", "p2p"), pair("ddim", "p2p"))
    about = {"rows": dict.fromkeys(("direct+p2p", "ddim+p2p"), RUN["rows"]["direct+p2p"])}
    (shared,) = comparability_remarks(alike, about)
    assert shared.startswith("every row: masks used: none; prompted by: target prompt; model: a/b; steps: 50")


def test_rows_of_fewer_pictures_or_another_size_are_named():
    rows = pd.concat([scores({"name": "all"}), scores({"name": "part"}).iloc[:1]])
    about = {"rows": {"all": {"scored_at": 512}, "part": {"scored_at": 1024}}}
    (line,) = comparability_remarks(rows, about)
    assert "images: 2 (all), 1 (part)" in line and "scored at (px): 512 (all), 1024 (part)" in line


def test_facts_of_parts_of_a_row_that_differ_are_unknown():
    parts = [{"rows": {"mine": {"masks": masks, "scored_at": 512}}} for masks in ("none", "predicted")]
    rows = pd.concat([with_provenance(scores({"name": "mine"}), part) for part in parts])
    assert provenance_of_rows(rows)["rows"] == {"mine": {"masks": None, "scored_at": 512}}


@pytest.fixture
def edits(tmp_path, samples):
    for sample in samples:
        Image.fromarray(load_image(sample.file) // 2).save(tmp_path / f"{sample.id}.png")
    return tmp_path


def test_other_peoples_pictures_say_what_they_are_told(edits, photo_bench, tmp_path):
    given = {"images": edits, "data": photo_bench, "metrics": "psnr_unedit_part", "progress": False}
    told = {"prompted_by": "instruction", "masks_used": "predicted"}
    pb.score(**given, name="told", out=tmp_path / "told.csv", **told)
    pb.score(**given, name="untold", out=tmp_path / "untold.csv")
    about = json.loads((tmp_path / "told.json").read_text())["rows"]
    assert about == {
        "told": {"prompted_by": "instruction", "masks": "predicted", "edited_at": None, "scored_at": 128}
    }
    table = pb.table([tmp_path / "told.csv", tmp_path / "untold.csv"])
    rows = table.set_index("name")
    assert rows["masks"].to_dict() == {"told": "predicted", "untold": "not declared"}
    assert rows["prompted_by"].to_dict() == {"told": "instruction", "untold": "not declared"}
    assert rows["background_images"].tolist() == [3, 3] and rows["protocol"].tolist() == ["paper"] * 2
    assert any(
        "masks used: predicted (told), not declared (untold)" in line for line in table.attrs["remarks"]
    )


def test_pictures_of_another_size_say_at_which_they_were_made_and_scored(samples, photo_bench, tmp_path):
    for sample in samples:
        Image.fromarray(load_image(sample.file)).resize((256, 256)).save(tmp_path / f"{sample.id}.png")
    given = {"images": tmp_path, "data": photo_bench, "name": "mine", "out": tmp_path / "mine.csv"}
    scored = pb.score(**given, metrics="psnr_unedit_part", resize=True, progress=False)
    facts = scored.attrs["about"]["rows"]["mine"]
    assert (facts["edited_at"], facts["scored_at"]) == (256, 128)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"masks_used": "mine"}, "--masks-used mine: use none, predicted, benchmark"),
        ({"prompted_by": "me"}, "--prompted-by me: use target prompt, instruction, both"),
    ],
)
def test_words_that_no_table_knows(edits, photo_bench, told, words):
    with pytest.raises(PiebenchError, match=words):
        pb.score(images=edits, data=photo_bench, name="mine", **told)

"""Scores of several origins in one frame."""

import numpy as np
import pandas as pd
import pytest

import piebench_eval as pb
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import MetricModels, networks_for
from piebench_eval.metrics.protocol import MODERN
from piebench_eval.tables.provenance import with_provenance
from tests.tables.test_tables import scores

DEMO = {"networks": networks_for("demo").to_dict(), "protocol": "paper"}
RUN = {**DEMO, "model": "demo", "combinations": {"direct+p2p": {"model": "demo", "steps": 10}}}
FOLDER = {**DEMO, "name": "mine", "resized": ["1: 640x480 -> 512x512"]}


def of_a_run(about=None, number=4):
    rows = scores(number).assign(type=["1", "8"] * number)
    return with_provenance(rows, RUN if about is None else about)


def of_a_folder(about=None, number=4, name="mine"):
    rows = scores(number, inversions=("x",)).drop(columns=["inversion", "method"]).assign(type="1", name=name)
    return with_provenance(rows, FOLDER if about is None else about)


def together(*frames):
    return pd.concat(frames)


@pytest.mark.parametrize("turn", [1, -1])
def test_no_row_is_lost_and_the_demo_stays_the_demo(turn):
    table = pb.table(together(*[of_a_run(), of_a_folder()][::turn]))
    assert sorted(zip(table["method"], table["inversion"], table["images"], strict=True)) == [
        ("mine", "", 4),
        ("p2p", "ddim", 4),
        ("p2p", "direct", 4),
    ]
    assert set(table["model"]) == {"demo"}
    remarks = "\n".join(table.attrs["remarks"])
    assert "Demo model" in remarks and "1 picture was resized" in remarks
    assert "mine" in set(pb.table(together(of_a_run(), of_a_folder()), versus="ddim+p2p")["combination"])


def test_two_folders_and_a_part_of_them():
    both = together(of_a_folder(), of_a_folder(name="theirs"))
    assert pb.table(both)["name"].tolist() == ["mine", "theirs"]
    assert set(pb.table(both.iloc[:3])["model"]) == {"demo"}


def test_a_concatenated_frame_keeps_its_origin_in_a_file(tmp_path):
    together(of_a_run(), of_a_folder()).to_csv(tmp_path / "both.csv", index=False)
    table = pb.table(tmp_path / "both.csv")
    assert "mine" in set(table["method"]) and set(table["model"]) == {"demo"}


def test_rows_of_unknown_origin_are_counted():
    table = pb.table(together(of_a_run(), of_a_folder().drop(columns="about")))
    assert "4 of 12 rows do not say what made them" in table.attrs["remarks"]
    assert set(table["model"]) == {"demo"}


@pytest.mark.parametrize("empty", [np.nan, None, ""])
@pytest.mark.parametrize(("make", "label"), [(of_a_folder, "name"), (of_a_run, "method")])
def test_an_empty_label_is_refused(make, label, empty):
    rows = make()
    rows.loc[1, label] = empty
    with pytest.raises(
        PiebenchError, match=rf"1 rows of the scores have an empty {label} .*id {rows['id'][1]}\)"
    ):
        pb.table(rows)


def test_an_empty_inversion_is_a_row_without_an_inversion():
    rows = of_a_run()
    rows.loc[rows["inversion"] == "ddim", ["inversion", "method"]] = [np.nan, "copy"]
    assert ("copy", "") in set(zip(*pb.table(rows)[["method", "inversion"]].to_numpy().T, strict=True))


def test_types_that_are_numbers_or_missing():
    rows = of_a_run()
    assert pb.table(rows.assign(type=rows["type"].astype(float)), types="8")["images"].tolist() == [2, 2]
    rows.loc[2, "type"] = np.nan
    for options in ({"types": "8"}, {"by_type": True}):
        with pytest.raises(PiebenchError, match="1 rows of the scores have no editing type"):
            pb.table(rows, **options)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({**FOLDER, "networks": MetricModels().to_dict()}, "different networks"),
        (
            {**FOLDER, "protocol": {"name": "modern", "rules": MODERN.model_dump(mode="json")}},
            "paper, modern",
        ),
        ({**FOLDER, "combinations": {"direct+p2p": {"model": "demo", "steps": 20}}}, "different settings"),
    ],
)
def test_what_cannot_stand_in_one_table_is_refused(about, words):
    with pytest.raises(PiebenchError, match=words):
        pb.table(together(of_a_run(), of_a_folder(about)))


def test_the_same_pictures_twice_are_refused():
    with pytest.raises(PiebenchError, match=r"ddim\+p2p: the scores hold id .* more than once"):
        pb.table(together(of_a_run(), of_a_run()))

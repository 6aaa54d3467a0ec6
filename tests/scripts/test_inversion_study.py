"""The study of inversions, on a tiny flow model: its numbers are there, and mistakes end in an error."""

import json

import pytest
from typer import Typer
from typer.testing import CliRunner

from scripts import inversion_study
from tests.support.tiny_model import save_tiny_instaflow

app = Typer()
app.command()(inversion_study.main)


@pytest.fixture(scope="module")
def invoke(tmp_path_factory, photo_bench):
    folder = save_tiny_instaflow(tmp_path_factory.mktemp("models") / "flow")

    def run(*arguments):
        where = (
            "--data",
            photo_bench,
            "--device",
            "cpu",
            "--limit",
            1,
            "--model",
            folder,
            "--resolution",
            64,
        )
        return CliRunner().invoke(app, [str(argument) for argument in (*where, *arguments)])

    return run


def test_every_inversion_is_measured(invoke):
    result = invoke("--steps", "1,2", "--json")
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert len(measured) == 2 * len(inversion_study.KINDS)
    found = {(one["inversion"], one["steps"]): one for one in measured}
    evaluations = {kind: found[kind, 2]["evaluations"] for kind in inversion_study.KINDS}
    assert evaluations == {
        "same point": 2,
        "own point": 2,
        "fixed point, 1 refinement": 4,
        "fixed point, 3 refinements": 8,
        "fixed point, 7 refinements": 16,
        "midpoint": 4,
        "midpoint, 3 refinements": 16,
        "direct": 2,
        "edit_friendly": 2,
    }
    for steps in (1, 2):
        same, once, seven = (
            found[kind, steps]["source"]
            for kind in ("same point", "fixed point, 1 refinement", "fixed point, 7 refinements")
        )
        assert same > once > seven > 0
        assert found["direct", steps]["source"] == found["edit_friendly", steps]["source"] == 0
        # Direct inversion pins the source alone, edit-friendly offsets hold the target too.
        assert found["direct", steps]["target"] == pytest.approx(same, rel=1e-4)
        assert found["edit_friendly", steps]["target"] < 1e-5
        assert float(found["edit_friendly", steps]["psnr"]) > 60  # mostly inf


def test_the_table_has_means(invoke):
    result = invoke("--steps", "1")
    lines = result.stdout.splitlines()
    assert len(lines) == 2 + len(inversion_study.KINDS)
    assert all(column in lines[0] for column in ("steps", "evaluations", "PSNR"))
    assert "same point" in lines[2] and "edit_friendly" in lines[-1]


def test_mistakes_are_explained(invoke, tiny_model):
    for arguments, said in (
        (("--steps", "none"), "--steps 'none'"),
        (("--model", tiny_model), "predicts noise, not a velocity"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2 and said in result.stderr

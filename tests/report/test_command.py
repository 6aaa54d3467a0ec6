"""``piebench report`` as a user meets it."""

import json
import re
import shutil
from importlib.metadata import version

import pandas as pd
import pytest

from tests.support.commands import in_a_new_process, piebench


def test_a_scored_run_becomes_a_page(scored):
    done = piebench("report", scored, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["page"] == str(scored / "report" / "index.html")
    assert (said["samples"], said["combinations"], said["pictures"]) == (4, 2, 12)
    page = (scored / "report" / "index.html").read_text()
    assert "scored in bf16: not for publication" in page and "Demo model" not in page


def test_a_demo_says_so_on_its_page(scored):
    (scored / "scores.json").write_text(json.dumps({"networks": {"clip": "demo"}}))
    done = piebench("report", scored, "--out", scored / "look")
    assert done.returncode == 0, done.stderr
    assert f"Open: {scored / 'look' / 'index.html'}" in done.stdout
    assert "Demo model" in (scored / "look" / "index.html").read_text()


def test_edits_that_are_not_scored_yet_are_said(scored):
    scores = pd.read_csv(scored / "scores.csv", dtype=str)
    scores.iloc[:-3].to_csv(scored / "scores.csv", index=False)
    assert piebench("report", scored).returncode == 0
    page = (scored / "report" / "index.html").read_text()
    assert "3 pictures are not scored yet and not shown" in page


def test_a_benchmark_that_moved_is_found_with_data(scored, photo_bench, tmp_path):
    (session,) = (scored / "sessions").iterdir()
    about = json.loads(session.read_text())
    session.write_text(json.dumps({**about, "data_folder": str(tmp_path / "gone")}))
    done = piebench("report", scored)
    assert done.returncode == 2 and "--data" in done.stderr
    assert piebench("report", scored, "--data", photo_bench).returncode == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: (run / "scores.csv").unlink(), "run piebench score"),
        (lambda run: (run / "scores.csv").write_text("id\n1\n"), "piebench score"),
        (lambda run: (run / "recipe.yaml").unlink(), "not a run folder"),
        (lambda run: (run / "report").write_text(""), "name another folder"),
        (
            lambda run: (run / "scores.csv").write_text(
                "id,inversion,method,type,structure_distance\n7,ddim,p2p,0,1\n"
            ),
            "the run has no picture of 7",
        ),
        (
            lambda run: (run / "scores.csv").write_text("id,name,type,structure_distance\n7,mine,0,1\n"),
            "no columns inversion and method",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_and_nothing_is_written(scored, spoil, words):
    spoil(scored)
    done = piebench("report", scored)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not (scored / "report" / "index.html").exists()


def test_help_teaches_without_heavy_imports(tmp_path):
    commands = (["report", "--help"], ["report"], ["report", tmp_path, "--out", __file__])
    shown, *others = in_a_new_process(*commands)
    assert "Examples" in shown.stdout
    assert all(done.heavy == () for done in (shown, *others))


def test_an_older_report_is_replaced(scored):
    for _ in range(2):
        assert piebench("report", scored).returncode == 0
    shutil.move(scored / "report" / "report.json", scored / "elsewhere.json")
    done = piebench("report", scored)
    assert done.returncode == 2 and "did not make it" in " ".join(done.stderr.split())


def test_what_made_the_edits_stands_at_the_top(scored):
    about = json.loads((scored / "scores.json").read_text())
    about |= {
        "networks": {"clip": "openai/clip-vit-large-patch14"},
        "versions": {"lpips": "0.1.4", "torch": "9"},
    }
    (scored / "scores.json").write_text(json.dumps(about))
    assert piebench("report", scored).returncode == 0
    page = (scored / "report" / "index.html").read_text()
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert page.index("<dl") < page.index('id="means"')
    assert (facts["steps"], facts["guidance"], facts["seed"]) == ("4", "7.5", "1234")
    assert (facts["posterior"], facts["grey levels"]) == ("mean", "truncate")
    assert {"model", "benchmark", "edited", "device", "seconds per edit", "protocol"} <= facts.keys()
    assert facts["networks of scoring"] == "clip openai/clip-vit-large-patch14"
    assert (
        "lpips 0.1.4" in facts["versions"] and f"torch {version('torch')} (scoring: 9)" in facts["versions"]
    )
    assert float(facts["model evaluations per edit"].split(" to ")[0]) >= 0

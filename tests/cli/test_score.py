"""``piebench score`` and ``piebench explain`` on anybody's pictures, as a user meets them."""

import csv
import json
import random
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.cli.scoring_options import ImageLoaderName
from piebench_eval.data.images import ImageLoader, load_image
from piebench_eval.metrics.columns import COLUMNS


@pytest.fixture
def edits(samples, tmp_path):
    """Flat edits: the sources, darker."""
    folder = tmp_path / "edits"
    folder.mkdir()
    for sample in samples:
        Image.fromarray(load_image(sample.file) // 2).save(folder / f"{sample.id}.png")
    return folder


@pytest.fixture
def piebench(tmp_path, monkeypatch):
    """Run a command in the test's own folder; returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run


@pytest.fixture
def read_json(piebench):
    """What a command prints with --json, on standard output alone."""
    return lambda *arguments: json.loads(
        CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu", "--json"]).stdout
    )


@pytest.fixture
def score(piebench, photo_bench, metric_networks):
    networks = [
        *("--dino", metric_networks.dino, "--clip", metric_networks.clip),
        *("--lpips-weights", metric_networks.lpips_weights),
    ]

    def run(images, *arguments, name="mine"):
        return piebench(
            *("score", "--images", images, "--data", photo_bench, "--name", name, "--device", "cpu"),
            *(networks if "--metrics" not in arguments else ()),
            *arguments,
        )

    return run


PIXELS = ("--metrics", "psnr_unedit_part,mse_unedit_part")


def rows(file):
    with file.open() as stream:
        return list(csv.DictReader(stream))


def test_official_columns_by_default(score, edits, tmp_path):
    code, _ = score(edits)
    assert code == 0
    assert list(rows(tmp_path / "mine.csv")[0]) == ["id", "name", "type", *COLUMNS]
    before = {path.name: path.read_bytes() for path in tmp_path.glob("mine.*")}
    assert set(before) == {"mine.csv", "mine.json", "mine.cache.sqlite"}
    code, printed = score(edits)
    assert code == 0 and "scoring" not in printed
    assert {path.name: path.read_bytes() for path in tmp_path.glob("mine.*")} == before


def test_missing_pictures_end_it_unless_allowed(score, edits, samples, tmp_path):
    (edits / f"{samples[1].id}.png").unlink()
    code, printed = score(edits, *PIXELS)
    assert code == 2 and samples[1].id in printed and "--allow-missing" in printed
    assert not (tmp_path / "mine.csv").exists()
    code, _ = score(edits, *PIXELS, "--allow-missing")
    assert code == 0 and len(rows(tmp_path / "mine.csv")) == 3
    assert len(json.loads((tmp_path / "mine.json").read_text())["missing"]) == 1


def test_the_table_says_what_was_missing_and_resized(score, piebench, edits, samples, tmp_path):
    (edits / f"{samples[1].id}.png").unlink()
    small = edits / f"{samples[0].id}.png"
    Image.open(small).resize((64, 64)).save(small)
    code, printed = score(edits, *PIXELS, "--allow-missing")
    assert code == 2 and "--resize" in printed
    assert score(edits, *PIXELS, "--allow-missing", "--resize")[0] == 0
    _, printed = piebench("table", "mine.csv")
    assert "1 picture was missing" in printed and "1 picture was resized" in printed
    assert "cover" in printed  # one mask of the three covers everything


def test_lower_precision_is_said_everywhere(score, piebench, edits):
    code, printed = score(edits, "--precision", "bf16")
    assert code == 0 and "not for publication" in printed
    assert "not for publication" in piebench("table", "mine.csv")[1]


def test_a_protocol_of_ones_own(score, piebench, edits, tmp_path):
    (tmp_path / "ours.yaml").write_text("mask: {background: everything}\npictures: {jpeg: 90}\n")
    assert score(edits, *PIXELS, "--protocol", "ours.yaml")[0] == 0
    about = json.loads((tmp_path / "mine.json").read_text())["protocol"]
    assert about["name"] == "ours.yaml" and about["rules"]["pictures"]["jpeg"] == 90
    assert "mask.background: outside -> everything" in piebench("table", "mine.csv")[1]


def test_a_list_and_a_folder_give_the_same_scores(score, edits, samples, tmp_path):
    (tmp_path / "list.json").write_text(
        json.dumps({sample.id: f"edits/{sample.id}.png" for sample in samples})
    )
    assert score(edits, *PIXELS)[0] == 0 and score("list.json", *PIXELS, name="listed")[0] == 0
    one, other = rows(tmp_path / "mine.csv"), rows(tmp_path / "listed.csv")
    assert [{**row, "name": ""} for row in one] == [{**row, "name": ""} for row in other]


def test_resizing_stays_asked_for_when_all_is_known(score, edits, samples, tmp_path):
    small = edits / f"{samples[0].id}.png"
    Image.open(small).resize((64, 64)).save(small)
    assert score(edits, *PIXELS, "--resize")[0] == 0
    code, printed = score(edits, *PIXELS)
    assert code == 2 and "--resize" in printed
    assert score(edits, *PIXELS, "--resize")[0] == 0
    assert len(json.loads((tmp_path / "mine.json").read_text())["resized"]) == 1


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_nothing_of_the_users_is_overwritten(score, edits, samples, tmp_path, suffix):
    places = {sample.id: f"edits/{sample.id}.png" for sample in samples}
    listed = tmp_path / f"mine.{suffix}"
    listed.write_text(
        json.dumps(places)
        if suffix == "json"
        else "id,file\n" + "".join(f"{key},{value}\n" for key, value in places.items())
    )
    before = listed.read_bytes()
    code, printed = score(listed, *PIXELS)
    assert code == 2 and "choose another" in printed and listed.read_bytes() == before
    assert score(edits, *PIXELS, "--out", "scores.txt")[0] == 2


@pytest.mark.parametrize("place", ["--images", "--protocol", "--name"])
def test_a_name_that_no_file_can_have(score, edits, place):
    code, printed = score(edits, *PIXELS, place, "x" * 300)
    assert code == 2 and "xxx" in printed


@pytest.mark.parametrize(
    "about", [b"\xff\xfe", b'{"missing": 3, "networks": "x", "combinations": [1]}', b"[" * 9999]
)
def test_a_damaged_json_beside_the_scores(score, piebench, edits, tmp_path, about):
    assert score(edits, *PIXELS)[0] == 0
    (tmp_path / "mine.json").write_bytes(about)
    assert piebench("table", "mine.csv")[0] == 0


def test_every_metric_is_listed(piebench):
    listed = json.loads(piebench("metrics", "--json")[1])
    assert list(listed)[:8] == list(COLUMNS)
    assert [name for name, about in listed.items() if about["official"]] == list(COLUMNS)
    assert "lpips_vgg_unedit_part" in piebench("metrics")[1]


@pytest.mark.parametrize("count", [45, pytest.param(150, marks=pytest.mark.slow)])
def test_hostile_lists_and_edits(score, edits, samples, tmp_path, count):
    """Mutations of lists and of an edited picture: a named error or a score, never anything else."""
    chance = random.Random(0)
    entries = {sample.id: f"edits/{sample.id}.png" for sample in samples}
    as_json = json.dumps(entries).encode()
    as_csv = b"id,file\n" + b"".join(f"{key},{value}\n".encode() for key, value in entries.items())
    picture = edits / f"{samples[0].id}.png"
    whole = picture.read_bytes()
    seen = {0: 0, 2: 0}
    for number in range(count):
        target, content = [
            (tmp_path / "list.json", as_json),
            (tmp_path / "list.csv", as_csv),
            (picture, whole),
        ][number % 3]
        mutated = bytearray(content)
        kind = chance.choice(["flip", "cut", "insert", "repeat"])
        place = chance.randrange(len(mutated))
        if kind == "flip":
            mutated[place] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del mutated[place:]
        elif kind == "insert":
            mutated[place:place] = chance.choice(
                [b"\0", b"NaN", b"\xff\xfe", b'"', b",", b"../", b"9" * 5000]
            )
        else:
            mutated[place:place] = mutated[: chance.randrange(len(mutated))]
        picture.write_bytes(whole)
        target.write_bytes(bytes(mutated))
        images = edits if target == picture else target
        code, printed = score(images, *PIXELS, "--allow-missing")
        assert code in seen, printed
        seen[code] += 1
        if code == 2:
            assert target.name in printed or "nothing to score" in printed, printed
        assert "Traceback" not in printed
    assert all(seen.values()), seen


@pytest.fixture
def explain(piebench, photo_bench, metric_networks):
    def run(place, claimed, *arguments):
        return piebench("explain", place, "--claimed", claimed, "--device", "cpu", *arguments)

    return run


def test_explain_a_folder_and_a_scores_file(score, explain, read_json, edits, photo_bench, tmp_path):
    (tmp_path / "kept.yaml").write_text("background: {area: kept}\n")
    assert score(edits, *PIXELS, "--protocol", "kept.yaml")[0] == 0
    values = [[float(row[column]) for row in rows(tmp_path / "mine.csv")] for column in PIXELS[1].split(",")]
    psnr, mse = (np.nanmean(column) for column in values)
    claimed = f"psnr={psnr:.2f} mse={mse * 1e4:.2f}"
    for place, more in ((edits, ["--data", photo_bench]), ("mine.csv", [])):
        code, printed = explain(place, claimed, *more)
        assert code == 0
        assert "Most likely: PSNR and MSE are means over the kept pixels alone" in printed
        assert "To meet the published protocol: multiply both pictures by 1 - mask" in printed
        found = read_json("explain", place, "--claimed", claimed, *more)["findings"]
        assert found[0]["deviations"] == ["kept-pixels"] and found[0]["reproduced"] == 2


def test_a_claim_that_nothing_explains(explain, edits, photo_bench):
    code, printed = explain(edits, "psnr=99.99 mse=0.01", "--data", photo_bench, "--pairs", "none")
    assert code == 0 and "No known protocol gives these numbers" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edits", "psnr=1"], "--data"),
        (["nowhere", "psnr=1", "--data", "BENCH"], "nowhere"),
        (["edits", "psnr", "--data", "BENCH"], "METRIC=NUMBER"),
        (["edits", "colour=1", "--data", "BENCH"], "no metric 'colour'"),
        (["edits", "psnr=1", "--data", "BENCH", "--combination", "direct+p2p"], "direct+p2p"),
    ],
)
def test_wrong_usage_of_explain(explain, edits, photo_bench, arguments, words):
    place, claimed, *more = [str(photo_bench) if word == "BENCH" else word for word in arguments]
    code, printed = explain(place, claimed, *more)
    assert code == 2 and words in printed


def test_an_installed_package_brings_a_metric(score, piebench, edits, tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "bright-1.2.dist-info").mkdir(parents=True)
    (site / "bright-1.2.dist-info" / "METADATA").write_text("Name: bright\nVersion: 1.2\n")
    (site / "bright-1.2.dist-info" / "entry_points.txt").write_text(
        "[piebench.metrics]\nbrightness = bright:BRIGHTNESS\nbroken = bright:BROKEN\nshort = bright:SHORT\n"
    )
    (site / "bright.py").write_text(documented_metric() + MORE_METRICS)
    monkeypatch.syspath_prepend(site)
    assert "bright:BRIGHTNESS" in piebench("metrics")[1]
    assert score(edits, "--metrics", "brightness,mse")[0] == 0
    gained = [float(row["brightness"]) for row in rows(tmp_path / "mine.csv")]
    assert all(-128 < value < 0 for value in gained)
    assert "Brightness gained" in piebench("table", "mine.csv")[1]
    code, printed = score(edits, "--metrics", "broken")
    assert (
        code == 2 and "bright:BROKEN" in printed and "ZeroDivisionError" in printed and "bright.py" in printed
    )
    code, printed = score(edits, "--metrics", "short")
    assert code == 2 and "0 scores for" in printed


MORE_METRICS = """

BROKEN = Metric("Broken", "nobody", "lower", lambda edits: [1 / 0], sections=("pictures",))
SHORT = Metric("Short", "nobody", "lower", lambda edits: [], sections=("pictures",))
"""


def documented_metric():
    """The documentation's example, as it stands there."""
    from tests.conftest import REPOSITORY

    text = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
    start = text.index("from piebench_eval.metrics.base import Metric")
    return text[start : text.index("```", start)]


def test_the_option_names_every_loader():
    assert tuple(ImageLoaderName) == get_args(ImageLoader)

"""A report folder, whole or not at all."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.report import paths
from piebench_eval.report.build import build_report
from piebench_eval.report.links import links_of
from piebench_eval.report.thumbnails import outline


def files(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def linked(run, folder):
    """Every path that the page's script may ask for."""
    for number, sample in enumerate(run.samples):
        yield from (paths.source(number), paths.outline(number), paths.source_thumbnail(number))
        for index, link in enumerate(links_of(run, folder)):
            yield paths.thumbnail(index, number)
            yield link.to(sample, number)


def test_every_link_leads_to_a_picture(built):
    for path in linked(built.run, built.folder):
        with Image.open(built.folder / unquote(path)) as image:
            image.load()


def test_links_lead_to_the_run_from_anywhere(small, tmp_path):
    folder = tmp_path / "far" / "away"
    build_report(small, folder)
    for path in linked(small, folder):
        assert (folder / unquote(path)).is_file(), path


def test_the_script_asks_for_the_places_that_there_are(built):
    script = built.read(paths.SCRIPT)
    for pattern in (
        "sources/${view}/${sample}.webp",
        "outlines/${view}/${sample}.png",
        "thumbnails/source/${view}/${sample}.webp",
        "thumbnails/${combination}/${sample}.webp",
    ):
        assert f"`{pattern}`" in script
        path = pattern.replace("${sample}", "3").replace("${combination}", "1").replace("${view}", "0")
        assert (built.folder / path).is_file()


def test_small_pictures_keep_every_pixel_and_large_ones_become_small(small, tmp_path):
    large = small.pictures["direct+p2p", small.samples[0].id]
    large.unlink()
    Image.new("RGB", (512, 512), (10, 200, 30)).save(large)
    build_report(small, tmp_path / "report")
    with Image.open(tmp_path / "report" / paths.thumbnail(1, 0)) as image:
        assert image.size == (160, 160)
    source = np.asarray(Image.open(small.samples[0].file))
    with Image.open(tmp_path / "report" / paths.source(0)) as image:
        assert (np.asarray(image.convert("RGB")) == source).all()


def test_an_outline_follows_the_edge_of_the_mask():
    mask = np.zeros((16, 16), dtype=bool)
    mask[4:12, 4:12] = True
    drawn = np.asarray(Image.open(io.BytesIO(outline(mask))).convert("RGBA"))
    assert drawn.shape == (512, 512, 4)
    assert drawn[4 * 32, 256].tolist() == [255, 214, 0, 255]
    assert drawn[4 * 32 - 1, 256, 3] == 170
    assert drawn[256, 256, 3] == drawn[20, 20, 3] == 0


def test_a_report_is_made_again_in_the_same_place(built):
    (built.folder / "left over.txt").write_text("of an older version")
    build_report(built.run, built.folder)
    assert not (built.folder / "left over.txt").exists()
    assert [file.name for file in built.folder.parent.iterdir() if file.name.startswith(".")] == []


def test_the_same_run_gives_the_same_report(built):
    before = files(built.folder)
    build_report(built.run, built.folder, ["a notice"])
    assert files(built.folder) == before


@pytest.mark.parametrize("marker", [None, "{", "[]", json.dumps({"made_by": "somebody"})])
def test_a_folder_of_anybody_else_stays(small, tmp_path, marker):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    if marker is not None:
        (folder / paths.MARKER).write_text(marker)
    before = files(folder)
    with pytest.raises(PiebenchError, match=r"mine: exists, and .*name another"):
        build_report(small, folder)
    assert files(folder) == before


def test_a_file_stays_and_an_empty_folder_is_filled(small, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PiebenchError, match="exists, and piebench report did not make it"):
        build_report(small, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert build_report(small, tmp_path / "empty").page.is_file()


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_report_leaves_the_older_one(built, end):
    before = files(built.folder)

    def stop(done, total):
        raise end

    with pytest.raises(end):
        build_report(built.run, built.folder, on_progress=stop)
    assert files(built.folder) == before
    assert [file for file in built.folder.parent.iterdir() if file.name.startswith(".")] == []


def test_a_damaged_picture_is_named_and_nothing_is_written(small, tmp_path):
    file = small.pictures["direct+p2p", small.samples[2].id]
    file.unlink()
    file.write_bytes(b"no picture")
    with pytest.raises(PiebenchError, match=re.escape(str(file))):
        build_report(small, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_place_that_cannot_be_written_to_is_named(small, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PiebenchError, match=r"file/report: cannot be written \(Not a directory\)"):
        build_report(small, tmp_path / "file" / "report")


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError(5, "Input/output error")])
def test_the_older_report_comes_back_if_the_last_step_fails(built, monkeypatch, end):
    before = files(built.folder)
    replace_path = Path.replace

    def replace_or_fail(self, target):
        if self.name.endswith(".partial"):
            raise end
        return replace_path(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_fail)
    with pytest.raises((KeyboardInterrupt, PiebenchError)):
        build_report(built.run, built.folder, ["another notice"])
    assert files(built.folder) == before
    assert [file for file in built.folder.parent.iterdir() if file.name.startswith(".")] == []


def test_what_came_there_meanwhile_stays(small, tmp_path):
    def somebody_writes(done, total):
        (tmp_path / "report").mkdir(exist_ok=True)
        (tmp_path / "report" / "thesis.tex").write_text("years of work")

    with pytest.raises(PiebenchError, match="exists, and piebench report did not make it"):
        build_report(small, tmp_path / "report", on_progress=somebody_writes)
    assert files(tmp_path / "report") == {"thesis.tex": b"years of work"}


def test_progress_is_told_picture_by_picture(small, tmp_path):
    told = []
    made = build_report(
        small, tmp_path / "report", on_progress=lambda done, total: told.append((done, total))
    )
    assert told == [(done, 20) for done in range(1, 21)]
    assert (made.samples, made.combinations, made.pictures) == (5, 3, 20)
    pages = [made.page.parent / name for name in (paths.PAGE, paths.DATA, paths.SCRIPT, paths.PLOTLY)]
    licence = made.page.parent / paths.PLOTLY_LICENCE
    assert made.page_bytes == sum(file.stat().st_size for file in [*pages, licence])
    assert "MIT License" in licence.read_text()


def test_pictures_that_are_gone_are_said_and_passed_over(small, tmp_path):
    pictures = dict(small.pictures)
    del pictures["direct+p2p", small.samples[2].id]
    made = build_report(replace(small, pictures=pictures, unscored=2), tmp_path / "report")
    page = made.page.read_text()
    assert "1 picture is gone since it was scored; run piebench run and piebench score again" in page
    assert "2 pictures are not scored yet and not shown; run piebench" in page
    assert not (tmp_path / "report" / paths.thumbnail(1, 2)).exists()


def test_a_photograph_is_cut_to_the_square_that_was_edited(small, tmp_path):
    file = small.samples[0].file
    file.unlink()
    picture = np.zeros((16, 32, 3), dtype=np.uint8)
    picture[:, 8:24] = 200
    Image.fromarray(picture).save(file)
    build_report(small, tmp_path / "report")
    with Image.open(tmp_path / "report" / paths.source(0)) as image:
        assert (np.asarray(image.convert("RGB")) == 200).all() and image.size == (16, 16)

import math

import numpy as np
import pytest
from PIL import Image

from piebench_eval.bench.images import load_image
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.runs.scoring import (
    Candidate,
    ScoreJournal,
    folder_candidates,
    read_edit,
    score_candidates,
    write_scores,
)


@pytest.fixture
def edits(samples, tmp_path):
    """A source copy of every picture, in the official layout."""
    folder = tmp_path / "edits"
    for sample in samples:
        file = folder / "annotation_images" / sample.image_path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(load_image(sample.file)).save(file)
    return folder


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_pictures_are_found_with_either_layout_and_any_suffix(samples, tmp_path, suffix):
    for sample in samples[1:]:
        file = (tmp_path / sample.image_path).with_suffix(suffix)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (128, 128)).save(file)
    found, missing = folder_candidates(tmp_path, samples, "mine")
    assert [candidate.sample for candidate in found] == samples[1:]
    assert len(missing) == 1 and samples[0].id in missing[0]


def candidate(sample, file, picture):
    Image.fromarray(picture).save(file)
    return Candidate(sample, {"name": "mine"}, file, follows_edit=False)


def test_the_last_panel_of_a_strip_is_scored(samples, tmp_path):
    panels = np.random.default_rng(0).integers(0, 256, (128, 4 * 128, 3), dtype=np.uint8)
    edit = read_edit(candidate(samples[0], tmp_path / "strip.png", panels))
    np.testing.assert_array_equal(edit, panels[:, -128:])


@pytest.mark.parametrize("shape", [(64, 64, 3), (256, 256, 3), (100, 512, 3)])
def test_another_size_than_the_sources_is_refused(samples, tmp_path, shape):
    with pytest.raises(PiebenchError, match="128x128"):
        read_edit(candidate(samples[0], tmp_path / "edit.png", np.zeros(shape, dtype=np.uint8)))


def test_an_unreadable_edit_is_named(samples, tmp_path):
    file = tmp_path / "edit.png"
    file.write_bytes(b"nothing")
    with pytest.raises(PiebenchError, match=r"edit\.png"):
        read_edit(Candidate(samples[0], {"name": "mine"}, file, follows_edit=False))


def test_an_interrupt_loses_no_row(samples, edits, metric_networks, tmp_path):
    candidates, _ = folder_candidates(edits, samples, "mine")
    file = tmp_path / "scores.csv"
    journal = ScoreJournal(file, metric_networks)
    first = score_candidates(candidates, metric_networks, "cpu", journal)
    rows = [next(first), next(first)]
    first.close()

    # What was scored is read back; without networks nothing else could be.
    again = score_candidates(candidates[:2], None, "cpu", ScoreJournal(file, metric_networks))
    assert list(again) == rows

    Image.fromarray(np.zeros((128, 128, 3), dtype=np.uint8)).save(candidates[0].file)
    journal = ScoreJournal(file, metric_networks)
    assert journal.get(journal.key(candidates[0])) is None
    assert journal.get(journal.key(candidates[1])) is not None


def test_scores_file(samples, edits, metric_networks, tmp_path):
    candidates, _ = folder_candidates(edits, samples, "copy")
    file = tmp_path / "scores.csv"
    journal = ScoreJournal(file, metric_networks)
    rows = list(score_candidates(candidates, metric_networks, "cpu", journal))
    write_scores(file, rows, metric_networks, {"images": "edits"})
    journal.close()
    assert file.read_text().splitlines()[0] == ",".join(["id", "name", "type", *COLUMNS])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edits", "scores.csv", "scores.json"]
    assert math.isnan(rows[3]["psnr_unedit_part"]) and rows[0]["psnr_unedit_part"] == math.inf

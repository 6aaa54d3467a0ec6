"""Annotation files as people have them: what is read, and what is refused in words that need no Python."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.masks import encode_rle, load_mask
from piebench_eval.data.pie_bench import dataset_fingerprint, load_pie_bench
from piebench_eval.errors import DataError
from piebench_eval.scoring.edited_images import edited_images_at
from tests.support.commands import piebench

BOX = np.zeros((64, 64), dtype=bool)
BOX[16:40, 20:50] = True
ENTRY = {
    "image_path": "0/a.png",
    "original_prompt": "a [cat]",
    "editing_prompt": "a [dog]",
    "editing_instruction": "Make it a dog",
    "editing_type_id": "0",
    "blended_word": "cat dog",
    "mask": encode_rle(BOX),
}


def picture(side=64):
    return Image.effect_noise((side, side), 60).convert("RGB")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bench/annotation_images/0").mkdir(parents=True)
    picture().save(tmp_path / "bench/annotation_images/0/a.png")
    return tmp_path / "bench"


def write(folder, **entries):
    (folder / "mapping_file.json").write_text(json.dumps(entries))
    return folder


def load(folder, **changes):
    (sample,) = load_pie_bench(write(folder, a={**ENTRY, **changes}))
    return sample


def problem_of(folder, **changes):
    with pytest.raises(DataError) as caught:
        load(folder, **changes)
    (problem,) = caught.value.problems
    assert "id a: field" in problem
    return problem


# --- values ----------------------------------------------------------------------------------------------


def test_types_may_be_numbers(folder):
    plain = load(folder)
    assert load(folder, editing_type_id=0) == plain
    assert load(folder, editing_type_id=12).type_id == "12"
    assert "must be digits" in problem_of(folder, editing_type_id=-1)
    assert "not true or false" in problem_of(folder, editing_type_id=True)
    assert "not a number" in problem_of(folder, editing_type_id=1.0)


def test_instructions_may_be_absent(folder):
    entry = {name: value for name, value in ENTRY.items() if name != "editing_instruction"}
    (sample,) = load_pie_bench(write(folder, a=entry))
    assert sample.instruction == "" and load(folder, editing_instruction=None) == sample


@pytest.mark.parametrize("field", [*ENTRY, None])
@pytest.mark.parametrize(
    "value", [None, 3, 2.5, True, {"size": [4, 4], "counts": [2, 2]}, [None], ["1"], [[1, 2]]]
)
def test_messages_use_no_word_of_python(folder, field, value):
    with pytest.raises(DataError) as caught:
        load_pie_bench(write(folder, a=value if field is None else {**ENTRY, field: value}, b=3))
    text = str(caught.value)
    assert not re.search(
        r"JsonObject|NoneType|\bNone\b|\bint\b|\bstr\b|\bdict\b|\bfloat\b|\bbool\b|null", text
    )


def test_what_a_mask_must_be_is_said(folder):
    assert "must be a list of numbers (start, length, " in (text := problem_of(folder, mask=None))
    assert "not nothing" in text
    assert "not an object with fields" in (text := problem_of(folder, mask={"size": [64, 64], "counts": [1]}))
    assert "piebench data convert --from coco-mask" in text
    assert "a list of numbers" in (text := problem_of(folder, mask="1040 32"))
    assert "not text" in text
    assert 'write "" where there is none' in problem_of(folder, blended_word=None)
    (folder / "mapping_file.json").write_text(json.dumps([ENTRY]))
    with pytest.raises(DataError, match=r"not a list; .*piebench data convert"):
        load_pie_bench(folder)


# --- several targets -------------------------------------------------------------------------------------


def test_one_picture_may_have_several_targets(folder):
    targets = {key: {**ENTRY, "editing_prompt": f"a [{key}]"} for key in ("wolf", "fox")}
    picture().save(folder / "annotation_images/0/b.png")
    alone = {**ENTRY, "image_path": "0/b.png"}
    samples = load_pie_bench(write(folder, **targets, c=alone))
    assert [sample.image_path for sample in samples] == ["0/wolf.png", "0/fox.png", "0/b.png"]
    assert {sample.file.name for sample in samples[:2]} == {"a.png"}
    assert len({dataset_fingerprint([sample]) for sample in samples}) == 3


def test_edits_of_several_targets_are_told_apart(folder, tmp_path):
    samples = load_pie_bench(write(folder, wolf=ENTRY, fox=ENTRY))
    for layout, files in {"official": ("0/wolf.png", "0/fox.png"), "flat": ("wolf.png", "fox.png")}.items():
        for file in files:
            (tmp_path / layout / file).parent.mkdir(parents=True, exist_ok=True)
            picture().save(tmp_path / layout / file)
        found, missing = edited_images_at(tmp_path / layout, samples, "mine")
        assert [each.file for each in found] == [tmp_path / layout / file for file in files] and not missing
    (tmp_path / "same/0").mkdir(parents=True)
    picture().save(tmp_path / "same/0/a.png")
    assert len(edited_images_at(tmp_path / "same", samples, "mine")[1]) == 2


def test_pictures_that_differ_in_their_suffix_only_have_edits_of_their_own(folder):
    picture().save(folder / "annotation_images/0/a.jpg")
    samples = load_pie_bench(write(folder, one=ENTRY, two={**ENTRY, "image_path": "0/a.jpg"}))
    assert [sample.image_path for sample in samples] == ["0/one.png", "0/two.jpg"]
    assert [sample.file.name for sample in samples] == ["a.png", "a.jpg"]


# --- letter case -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["0/A.png", "0/a.PNG", "0/A.Png"])
def test_names_of_pictures_may_be_in_another_case(folder, written):
    sample = load(folder, image_path=written)
    assert sample.image_path == written and sample.file == folder / "annotation_images/0/a.png"


def test_names_that_may_be_two_files_are_refused(folder):
    picture().save(folder / "annotation_images/0/A.png")
    assert load(folder).file.name == "a.png"
    assert "differ in letter case only" in problem_of(folder, image_path="0/a.PNG")


def test_edits_are_found_in_another_case(folder, tmp_path):
    (sample,) = load_pie_bench(write(folder, Cat01=ENTRY))
    for name in ("CAT01.PNG", "cat01.JPG", "Cat01.Jpeg"):
        edits = tmp_path / name
        edits.mkdir()
        picture().save(edits / name)
        (found,), missing = edited_images_at(edits, [sample], "mine")
        assert found.file == edits / name and not missing
    for name in ("CAT01.png", "cat01.png"):
        picture().save(tmp_path / "cat01.JPG" / name)
    with pytest.raises(Exception, match="differ in the case of letters only"):
        edited_images_at(tmp_path / "cat01.JPG", [sample], "mine")
    listed = tmp_path / "list.csv"
    listed.write_text("id,file\ncat01,CAT01.PNG/cat01.png\n")
    (found,), _ = edited_images_at(listed, [sample], "mine")
    assert found.sample is sample


# --- links -----------------------------------------------------------------------------------------------


def link(folder, target, text=None):
    target.parent.mkdir(parents=True, exist_ok=True)
    file = folder / "annotation_images/0/a.png"
    file.rename(target)
    file.symlink_to(text or target)


@pytest.mark.parametrize(
    ("bench", "store"),
    [
        ("bench", "bench/originals/x"),
        ("bench", "blobs/x"),
        ("datasets--a--b/snapshots/0f/bench", "datasets--a--b/blobs/x"),
        ("datasets--a--b/snapshots/0f", "datasets--a--b/blobs/x"),
        ("repository/data/bench", "repository/.git/annex/objects/f/g/key/key"),
    ],
)
def test_links_into_the_folder_or_its_cache_are_followed(folder, tmp_path, bench, store):
    if bench != "bench":
        (tmp_path / bench).parent.mkdir(parents=True, exist_ok=True)
        folder = folder.rename(tmp_path / bench)
    link(folder, tmp_path / store)
    assert load(folder).file == folder / "annotation_images/0/a.png"


@pytest.mark.parametrize("store", ["elsewhere/x", "other/blobs/x", ".git/annex/x", "blobs-of-others/x"])
def test_links_to_elsewhere_are_refused(folder, tmp_path, store):
    (tmp_path / ".git").mkdir()
    link(folder, tmp_path / store)
    assert "leaves the folder, to " in (text := problem_of(folder)) and store in text


def test_a_link_whose_file_was_not_fetched(folder, tmp_path):
    (tmp_path / ".git/annex/objects").mkdir(parents=True)
    link(folder, tmp_path / ".git/annex/objects/key")
    (tmp_path / ".git/annex/objects/key").unlink()
    assert "which is not there; fetch" in problem_of(folder)


# --- masks as pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P"])
@pytest.mark.parametrize("place", ["a_mask.png", "annotation_images/0/a_mask.png", "masks/0/a_mask.png"])
def test_masks_may_be_pictures(folder, mode, place):
    expected = load_mask(load(folder), frame=True)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(BOX.astype(np.uint8) * 255).convert(mode).save(folder / place)
    sample = load(folder, mask=place.removeprefix("annotation_images/0/"))
    assert sample.mask_rle == tuple(ENTRY["mask"])
    np.testing.assert_array_equal(load_mask(sample, frame=True), expected)


def test_masks_of_another_size_are_scaled_if_that_is_asked(folder):
    Image.fromarray(BOX.repeat(2, 0).repeat(2, 1)).save(folder / "mask.png")
    assert "128x128, but belongs to a picture of 64x64" in (text := problem_of(folder, mask="mask.png"))
    assert "--mask-size 128x128" in text
    (sample,) = load_pie_bench(folder, (128, 128))
    np.testing.assert_array_equal(load_mask(sample), BOX)


def test_masks_that_would_mark_nothing_by_their_levels_are_refused(folder):
    Image.fromarray(BOX.astype(np.uint8)).save(folder / "mask.png")
    assert "lightest pixel has 1 of 255" in problem_of(folder, mask="mask.png")
    Image.new("L", (64, 64)).save(folder / "mask.png")
    assert load(folder, mask="mask.png").mask_rle == ()


@pytest.mark.parametrize("path", ["nowhere.png", "../mask.png", "/etc/passwd", "", "\0", "x" * 9000])
def test_masks_that_are_nowhere(folder, path):
    Image.fromarray(BOX).save(folder.parent / "mask.png")
    assert 'field "mask"' in problem_of(folder, mask=path)


def test_broken_pictures_of_masks_are_named(folder):
    (folder / "mask.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r'mask\.png: id a: field "mask": is no picture'):
        load(folder, mask="mask.png")


def test_validate_reads_such_a_folder(folder):
    Image.fromarray(BOX).save(folder / "a_mask.png")
    entry = {**ENTRY, "image_path": "0/A.PNG", "mask": "a_mask.png", "editing_type_id": 4}
    done = piebench("data", "validate", write(folder, one=entry, two=entry))
    assert done.returncode == 0 and "2 samples, no problem found." in done.stdout, done.stderr
